"""The heads of Mask R-CNN and Keypoint R-CNN, under detectron2's parameter names.

Source: He et al. 2017; names and selection as in detectron2's `modeling/roi_heads`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from dp2.errors import DetectionError
from dp2.models.rcnn.box_deltas import apply_deltas, clip_boxes
from dp2.models.rcnn.resnet_fpn import Conv


@dataclass(frozen=True)
class Selection:
    """Which regions become detections.

    Attributes:
        score_threshold: they score more than this.
        nms_threshold: overlap (IoU) above which the weaker of two of one class is dropped.
        per_image: the best so many of a picture, over all classes.
        classes: of these, only such classes are kept; None = all.
    """

    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    per_image: int = 100
    classes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class BoxDetections:
    """Detections of one image: `boxes` (N, 4) in pixels of the network's input, `scores` (N,), `classes` (N,) int64."""

    boxes: Tensor
    scores: Tensor
    classes: Tensor


class BoxHead(nn.Module):
    """Two fully connected layers."""

    def __init__(self, *, channels: int, side: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels * side * side, hidden)
        self.fc2 = nn.Linear(hidden, hidden)

    def forward(self, regions: Tensor) -> Tensor:
        """[R, C, side, side] → [R, hidden]."""
        return F.relu_(self.fc2(F.relu_(self.fc1(regions.flatten(1)))))


class BoxPredictor(nn.Module):
    """Class scores and offsets for each class; the last class is the background."""

    def __init__(self, *, hidden: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(hidden, classes + 1)
        self.bbox_pred = nn.Linear(hidden, 4 * classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[R, hidden] → logits [R, K + 1] and deltas [R, 4·K]."""
        return self.cls_score(x), self.bbox_pred(x)


def select(
    logits: Tensor, deltas: Tensor, proposals: Tensor, image_size: tuple[int, int], selection: Selection
) -> BoxDetections:
    """Detections among the classified proposals of one image, best first.

    Args:
        logits: (R, K + 1).
        deltas: (R, 4·K).
        proposals: (R, 4).
        image_size: (height, width) that boxes are clipped to.

    Raises:
        DetectionError: the network's output is not finite.
    """
    if not (logits.isfinite().all() and deltas.isfinite().all()):
        raise DetectionError("The scores of regions are not finite numbers; try float32 instead of half precision.")
    scores = logits.float().softmax(dim=1)[:, :-1]
    region, category = (scores > selection.score_threshold).nonzero(as_tuple=True)
    scores = scores[region, category]
    moves = deltas.view(len(deltas), deltas.shape[1] // 4, 4)[region, category]
    boxes = clip_boxes(apply_deltas(moves, proposals[region], (10.0, 10.0, 5.0, 5.0)), image_size)
    keep = batched_nms(boxes, scores, category, selection.nms_threshold)[: selection.per_image]
    if selection.classes is not None:
        keep = keep[torch.isin(category[keep], category.new_tensor(selection.classes))]
    return BoxDetections(boxes[keep], scores[keep], category[keep])


class PlaneOfClass(nn.Conv2d):
    """A 1×1 convolution of which each region wants a single output plane."""

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """[R, C, H, W] and the planes (R,) → [R, H, W] float32; without `classes` all planes [R, K, H, W]."""
        if classes is None:
            return super().forward(x)
        weight = self.weight[classes].flatten(1).unsqueeze(1)  # [R, 1, C]
        planes = torch.bmm(weight.to(x.dtype), x.flatten(2)).float()[:, 0]
        if self.bias is not None:
            planes = planes + self.bias[classes].float().unsqueeze(1)
        return planes.view(len(x), *x.shape[2:])


class MaskHead(nn.Module):
    """Four 3×3 convolutions, a transposed one that doubles the size, and a 1×1 one with a plane for each class."""

    def __init__(self, *, channels: int, classes: int, convs: int = 4) -> None:
        super().__init__()
        self.convs = convs
        for i in range(convs):
            self.add_module(f"mask_fcn{i + 1}", Conv(channels, channels, 3, relu=True))
        self.deconv = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.predictor = PlaneOfClass(channels, classes, 1)

    def forward(self, regions: Tensor, classes: Tensor) -> Tensor:
        """Probabilities of the mask of each region's own class.

        Args:
            regions: [R, C, S, S].
            classes: (R,) int64.

        Returns:
            [R, 2·S, 2·S] float32 in 0..1.
        """
        x = regions
        for i in range(self.convs):
            x = self.get_submodule(f"mask_fcn{i + 1}")(x)
        return self.predictor(F.relu_(self.deconv(x)), classes).sigmoid()  # type: ignore[no-any-return]


class KeypointHead(nn.Module):
    """Eight 3×3 convolutions, a transposed one that doubles the size, and bilinear interpolation to twice that."""

    def __init__(self, *, channels: int, widths: Sequence[int], keypoints: int) -> None:
        super().__init__()
        self.convs = len(widths)
        for i, width in enumerate(widths):
            self.add_module(f"conv_fcn{i + 1}", Conv(channels, width, 3, relu=True))
            channels = width
        self.score_lowres = nn.ConvTranspose2d(channels, keypoints, 4, stride=2, padding=1)

    def forward(self, regions: Tensor) -> Tensor:
        """[R, C, S, S] → logits [R, K, 4·S, 4·S] float32."""
        x = regions
        for i in range(self.convs):
            x = self.get_submodule(f"conv_fcn{i + 1}")(x)
        x = self.score_lowres(x).float()
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
