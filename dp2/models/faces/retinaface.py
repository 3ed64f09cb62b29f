"""RetinaFace: faces with five landmarks, on ResNet-50 or MobileNet v1 at a quarter of its width.

Source: Deng et al., "RetinaFace: Single-stage Dense Face Localisation in the Wild" (CVPR 2020), as in
biubug6/Pytorch_Retinaface and hukkelas/DSFD-Pytorch-Inference, whose layer names the published weights have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.ops import nms

_STEPS = (8, 16, 32)
_SIDES = ((16, 32), (64, 128), (256, 512))
_VARIANCES = (0.1, 0.2)


class Faces(NamedTuple):
    """Candidates or detections, in pixels of the picture; they may leave it.

    Attributes:
        boxes: (…, P, 4) x0 y0 x1 y1.
        scores: (…, P) in [0, 1].
        landmarks: (…, P, 5, 2) x y of both eyes, nose and both corners of the mouth.
    """

    boxes: Tensor
    scores: Tensor
    landmarks: Tensor


def _conv(in_channels: int, out_channels: int, size: int, stride: int, slope: float | None) -> nn.Sequential:
    """Convolution and batch normalisation, then leaky ReLU where a slope is given."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers if slope is None else [*layers, nn.LeakyReLU(slope, inplace=True)])


def _separable(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Depthwise 3×3 and pointwise convolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(0.1, inplace=True),
    )


class MobileNet(nn.Module):
    """Features at strides 8, 16 and 32 with `channels`."""

    channels = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            _conv(3, 8, 3, 2, 0.1),
            _separable(8, 16, 1),
            _separable(16, 32, 2),
            _separable(32, 32, 1),
            _separable(32, 64, 2),
            _separable(64, 64, 1),
        )
        self.stage2 = nn.Sequential(_separable(64, 128, 2), *(_separable(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(_separable(128, 256, 2), _separable(256, 256, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        fine = self.stage1(x)
        middle = self.stage2(fine)
        return [fine, middle, self.stage3(middle)]


class ResNet50(nn.Module):
    """Features at strides 8, 16 and 32 with `channels`."""

    channels = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        network = resnet50(weights=None)
        self.conv1 = network.conv1
        self.bn1 = network.bn1
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        fine = self.layer2(self.layer1(x))
        middle = self.layer3(fine)
        return [fine, middle, self.layer4(middle)]


class FeaturePyramid(nn.Module):
    """Adds coarse features to finer ones."""

    def __init__(self, in_channels: tuple[int, ...], channels: int, slope: float) -> None:
        super().__init__()
        self.output1 = _conv(in_channels[0], channels, 1, 1, slope)
        self.output2 = _conv(in_channels[1], channels, 1, 1, slope)
        self.output3 = _conv(in_channels[2], channels, 1, 1, slope)
        self.merge1 = _conv(channels, channels, 3, 1, slope)
        self.merge2 = _conv(channels, channels, 3, 1, slope)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        coarse = self.output3(features[2])
        middle = self.output2(features[1])
        middle = self.merge2(middle + F.interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self.output1(features[0])
        fine = self.merge1(fine + F.interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return [fine, middle, coarse]


class Context(nn.Module):
    """Receptive fields of 3, 5 and 7 pixels side by side (Najibi et al., "SSH", ICCV 2017)."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        self.conv3X3 = _conv(channels, channels // 2, 3, 1, None)
        self.conv5X5_1 = _conv(channels, channels // 4, 3, 1, slope)
        self.conv5X5_2 = _conv(channels // 4, channels // 4, 3, 1, None)
        self.conv7X7_2 = _conv(channels // 4, channels // 4, 3, 1, slope)
        self.conv7x7_3 = _conv(channels // 4, channels // 4, 3, 1, None)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.conv5X5_1(x)
        parts = (self.conv3X3(x), self.conv5X5_2(wide), self.conv7x7_3(self.conv7X7_2(wide)))
        return F.relu_(torch.cat(parts, dim=1))


class Head(nn.Module):
    """`values` numbers for each of the two priors of a cell."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(channels, 2 * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, h·w·2, values)."""
        return self.conv1x1(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.values)  # type: ignore[no-any-return]


class RetinaFace(nn.Module):
    """Pictures to candidate faces.

    Args:
        body: "resnet50" or "mobilenet".
    """

    mean: Tensor

    def __init__(self, body: str) -> None:
        super().__init__()
        channels, slope = (256, 0.0) if body == "resnet50" else (64, 0.1)
        self.body: MobileNet | ResNet50 = ResNet50() if body == "resnet50" else MobileNet()
        self.fpn = FeaturePyramid(self.body.channels, channels, slope)
        self.ssh1 = Context(channels, slope)
        self.ssh2 = Context(channels, slope)
        self.ssh3 = Context(channels, slope)
        self.ClassHead = nn.ModuleList(Head(channels, 2) for _ in _STEPS)
        self.BboxHead = nn.ModuleList(Head(channels, 4) for _ in _STEPS)
        self.LandmarkHead = nn.ModuleList(Head(channels, 10) for _ in _STEPS)
        # the mean of BGR pictures, subtracted from RGB: so the published detector does it
        mean = torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)

    def forward(self, images: Tensor) -> Faces:
        """Find candidates.

        Args:
            images: (N, 3, H, W) float32 RGB in [0, 255].

        Returns:
            one candidate a prior; P = 2 (⌈H/8⌉⌈W/8⌉ + ⌈H/16⌉⌈W/16⌉ + ⌈H/32⌉⌈W/32⌉).
        """
        x = (images - self.mean).flip(1)
        fine, middle, coarse = self.fpn(self.body(x))
        features = (self.ssh1(fine), self.ssh2(middle), self.ssh3(coarse))
        logits, offsets, points = (
            torch.cat([head(x) for head, x in zip(heads, features, strict=True)], dim=1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        priors = prior_boxes(images.shape[2], images.shape[3], images.device)
        boxes, landmarks = decode(priors, offsets.float(), points.float())
        return Faces(boxes, logits.float().softmax(2)[:, :, 1], landmarks)


def prior_boxes(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Two squares a cell at each of three strides, (P, 4) float32: centre x y, width and height in pixels."""
    priors = []
    for step, sides in zip(_STEPS, _SIDES, strict=True):
        y = (torch.arange(-(-height // step), device=device) + 0.5) * step
        x = (torch.arange(-(-width // step), device=device) + 0.5) * step
        side = torch.tensor(sides, dtype=torch.float32, device=device)
        cy, cx, s = torch.meshgrid(y, x, side, indexing="ij")
        priors.append(torch.stack((cx, cy, s, s), dim=3).view(-1, 4))
    return torch.cat(priors)


def decode(priors: Tensor, offsets: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Network outputs to pixels (Liu et al., "SSD", ECCV 2016).

    Args:
        priors: (P, 4), from `prior_boxes`.
        offsets: (N, P, 4) of the boxes.
        points: (N, P, 10) of the landmarks.

    Returns:
        (N, P, 4) boxes x0 y0 x1 y1 and (N, P, 5, 2) landmarks.
    """
    centre, side = priors[:, :2], priors[:, 2:]
    middle = centre + offsets[..., :2] * _VARIANCES[0] * side
    half = side * torch.exp(offsets[..., 2:] * _VARIANCES[1]) / 2
    landmarks = centre[:, None] + points.reshape(points.shape[0], -1, 5, 2) * _VARIANCES[0] * side[:, None]
    return torch.cat((middle - half, middle + half), dim=2), landmarks


def select(candidates: Faces, threshold: float, nms_iou: float = 0.3) -> list[Faces]:
    """The candidates of each picture that are sure enough and do not overlap a surer one, surest first.

    Args:
        candidates: as `RetinaFace` gives them.
        threshold: least score.
        nms_iou: largest overlap of two faces.
    """
    found = []
    for boxes, scores, landmarks in zip(*candidates, strict=True):
        sure = scores >= threshold
        boxes, scores, landmarks = boxes[sure], scores[sure], landmarks[sure]
        rows = nms(boxes, scores, nms_iou)
        found.append(Faces(boxes[rows], scores[rows], landmarks[rows]))
    return found


def rename_published(state: Mapping[str, Any]) -> dict[str, Any]:
    """Published weights under this module's names; the ResNet-50 file was saved from a data-parallel wrapper."""
    return {key.removeprefix("module."): value for key, value in state.items()}
