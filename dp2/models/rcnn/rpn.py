"""Region proposals over a feature pyramid, under detectron2's parameter names.

Source: Ren et al. 2015 (Faster R-CNN); anchors, selection and names as in detectron2's
`modeling/{anchor_generator,proposal_generator}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from dp2.errors import DetectionError
from dp2.models.rcnn.box_deltas import apply_deltas, clip_boxes, nonempty
from dp2.models.rcnn.resnet_fpn import STRIDES, Conv

ASPECT_RATIOS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class ProposalSettings:
    """How proposals are selected.

    Attributes:
        per_level: the best of each pyramid level before suppression.
        per_image: the best of an image after it.
        nms_threshold: overlap (IoU) above which the weaker of two is dropped, per level.
        anchor_sizes: side in pixels of the square anchor on p2 … p6.
    """

    per_level: int = 1000
    per_image: int = 1000
    nms_threshold: float = 0.7
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)


class RPNHead(nn.Module):
    """A 3×3 convolution, then for each anchor a score (`objectness_logits`) and offsets (`anchor_deltas`)."""

    def __init__(self, channels: int, anchors: int = len(ASPECT_RATIOS)) -> None:
        super().__init__()
        self.conv = Conv(channels, channels, 3, relu=True)
        self.objectness_logits = nn.Conv2d(channels, anchors, 1)
        self.anchor_deltas = nn.Conv2d(channels, 4 * anchors, 1)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """p2 … p6 → logits [N, A, H, W] and deltas [N, 4·A, H, W] for each."""
        logits, deltas = [], []
        for x in features:
            x = self.conv(x)
            logits.append(self.objectness_logits(x))
            deltas.append(self.anchor_deltas(x))
        return logits, deltas


class RPN(nn.Module):
    """`rpn_head` and the selection of proposals."""

    def __init__(self, *, channels: int, settings: ProposalSettings) -> None:
        super().__init__()
        self.rpn_head = RPNHead(channels)
        self.settings = settings

    def forward(self, features: Sequence[Tensor], image_size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """Proposals of each image.

        Args:
            features: p2 … p6, [N, C, H / stride, W / stride].
            image_size: (height, width) before padding; proposals are clipped to it.

        Returns:
            for each image (R, 4) boxes and (R,) logits, R ≤ `per_image`, best first.

        Raises:
            DetectionError: the network's output is not finite.
        """
        logits, deltas = self.rpn_head(features)
        levels = [
            self._best_of_level(logits[i], deltas[i], stride, self.settings.anchor_sizes[i])
            for i, stride in enumerate(STRIDES)
        ]
        level_ids = torch.cat([scores.new_full(scores.shape[1:], i) for i, (scores, _) in enumerate(levels)])
        scores = torch.cat([scores for scores, _ in levels], dim=1)  # [N, L]
        boxes = torch.cat([boxes for _, boxes in levels], dim=1)  # [N, L, 4]
        if not (scores.isfinite().all() and boxes.isfinite().all()):
            raise DetectionError("The region proposals are not finite numbers; try float32 instead of half precision.")
        return [self._suppress(*image, level_ids, image_size) for image in zip(boxes, scores, strict=True)]

    def _best_of_level(self, logits: Tensor, deltas: Tensor, stride: int, size: int) -> tuple[Tensor, Tensor]:
        n, a, h, w = logits.shape
        flat = logits.float().permute(0, 2, 3, 1).flatten(1)  # [N, H·W·A]
        scores, chosen = flat.topk(min(flat.shape[1], self.settings.per_level), dim=1)
        deltas = deltas.view(n, a, 4, h, w).permute(0, 3, 4, 1, 2).reshape(n, -1, 4)  # [N, H·W·A, 4]
        picked = deltas.gather(1, chosen.unsqueeze(-1).expand(-1, -1, 4))
        return scores, apply_deltas(picked, anchors_at(chosen, w, stride, size), (1.0, 1.0, 1.0, 1.0))

    def _suppress(
        self, boxes: Tensor, scores: Tensor, level_ids: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        boxes = clip_boxes(boxes, image_size)
        keep = nonempty(boxes).nonzero()[:, 0]
        boxes, scores = boxes[keep], scores[keep]
        keep = batched_nms(boxes, scores, level_ids[keep], self.settings.nms_threshold)[: self.settings.per_image]
        return boxes[keep], scores[keep]


def anchors_at(indices: Tensor, width: int, stride: int, size: int) -> Tensor:
    """The anchors of these flat places, (…, 4) float32.

    Args:
        indices: (…) int64 places in an H × W × A grid.
        width: W of the grid.
        stride: pixels between its cells; the first anchor is centred on the picture's corner.
        size: side of the square anchor in pixels; the others have the same area.
    """
    cells = []
    for ratio in ASPECT_RATIOS:
        w = sqrt(size**2 / ratio)
        cells.append((-w / 2, -ratio * w / 2, w / 2, ratio * w / 2))
    shapes = torch.tensor(cells, device=indices.device)  # [A, 4]
    place = indices // len(cells)
    corner = torch.stack((place % width, place // width), dim=-1) * stride
    return torch.cat((corner, corner), dim=-1).float() + shapes[indices % len(cells)]
