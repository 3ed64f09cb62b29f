"""DSFD: faces on a ResNet-152, small ones included.

Source: Li et al., "DSFD: Dual Shot Face Detector" (CVPR 2019), as in hukkelas/DSFD-Pytorch-Inference, whose weights are
the published ones; `rename_published` translates their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms

from dp2.errors import DetectionError
from dp2.models.rcnn.resnet_fpn import BackboneSettings, Conv, FrozenBatchNorm2d, ResNet

RESNET152 = BackboneSettings(depths=(3, 8, 36, 3), stride_in_1x1=False)

# Counters of training steps, which nothing here reads
LEFTOVERS = ("*.num_batches_tracked",)

_STEPS = (4, 8, 16, 32, 64, 128)
_SIDES = (16, 32, 64, 128, 256, 512)
_ASPECT = 1.5  # height to width of a face
_VARIANCES = (0.1, 0.2)
_ENHANCERS = ("cpm3_3", "cpm4_3", "cpm5_3", "cpm7", "cpm6_2", "cpm7_2")
_RGB_MEAN = (123.0, 117.0, 104.0)

V = TypeVar("V")


class FaceBoxes(NamedTuple):
    """Candidates or detections in pixels of the picture; candidates may leave it.

    Attributes:
        boxes: (…, P, 4) float32 x0 y0 x1 y1.
        scores: (…, P) float32 in 0..1.
    """

    boxes: Tensor
    scores: Tensor


class FeatureEnhance(nn.Module):
    """Three receptive fields side by side (section 3.2, without the product)."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.cpm1 = Conv(in_channels, width, 3, relu=True)
        self.cpm2 = Conv(in_channels, width, 3, dilation=2, relu=True)
        self.cpm3 = Conv(width, width // 2, 3, relu=True)
        self.cpm4 = Conv(width, width // 2, 3, dilation=2, relu=True)
        self.cpm5 = Conv(width // 2, width // 2, 3, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] → [N, 2·width, h, w]."""
        middle = self.cpm2(x)
        return torch.cat((self.cpm1(x), self.cpm3(middle), self.cpm5(self.cpm4(middle))), dim=1)


class Head(nn.Sequential):
    """Three 3×3 convolutions and a 1×1 one."""

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__()
        for i in range(3):
            self.add_module(f"conv{i + 1}", Conv(width if i else 2 * width, width, 3, relu=True))
        self.add_module("conv4", Conv(width, out_channels, 1))


class DSFD(nn.Module):
    """Pictures to candidate faces, one a prior.

    Args:
        backbone: sizes; the default is the published ResNet-152.
        width: channels of the heads.
        extra_widths: (squeezed, output) channels of the two levels beyond the backbone.
    """

    mean: Tensor

    def __init__(
        self,
        *,
        backbone: BackboneSettings = RESNET152,
        width: int = 256,
        extra_widths: tuple[tuple[int, int], tuple[int, int]] = ((512, 512), (128, 256)),
    ) -> None:
        super().__init__()
        self.backbone = ResNet(backbone)
        channels = [backbone.res2_channels << i for i in range(4)]
        for i, (squeezed, out_channels) in enumerate(extra_widths):
            squeeze = Conv(channels[-1], squeezed, 1, bias=True, norm=FrozenBatchNorm2d(squeezed), relu=True)
            halve = Conv(
                squeezed, out_channels, 3, stride=2, bias=True, norm=FrozenBatchNorm2d(out_channels), relu=True
            )
            self.add_module(f"layer{5 + i}", nn.Sequential(squeeze, halve))
            channels.append(out_channels)
        for i in (3, 2, 1):
            self.add_module(f"latlayer{i}", Conv(channels[i], channels[i - 1], 1))
            self.add_module(f"smooth{i}", Conv(channels[i - 1], channels[i - 1], 1))
        for name, in_channels in zip(_ENHANCERS, channels, strict=True):
            self.add_module(name, FeatureEnhance(in_channels, width))
        # Only the first prior of a cell is used at inference; the published weights hold planes for up to three
        priors = (1, 2, 3, 3, 3, 3)
        self.loc = nn.ModuleList(Head(width, 4 * count) for count in priors)
        self.conf = nn.ModuleList(Head(width, 2 + 2 * count) for count in priors)
        self.register_buffer("mean", torch.tensor(_RGB_MEAN).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> FaceBoxes:
        """Find candidates.

        Args:
            images: (N, 3, H, W) RGB in 0..255.

        Returns:
            one candidate a prior, P = Σ of the cells of six levels.

        Raises:
            DetectionError: the network's output is not finite.
        """
        size = (images.shape[-2], images.shape[-1])
        features = self._features((images.float() - self.mean).flip(1))
        logits, offsets = [], []
        for i, x in enumerate(features):
            planes = self.conf[i](x).float()
            strongest, other = planes[:, :3].amax(dim=1), planes[:, 3]
            # Of the finest level three planes argue for the background, elsewhere for a face ("max-in-out")
            logits.append((other - strongest if i == 0 else strongest - other).flatten(1))
            offsets.append(self.loc[i](x)[:, :4].float().permute(0, 2, 3, 1).flatten(1, 2))
        priors = torch.cat([prior_boxes(size, i, (x.shape[-2], x.shape[-1]), x.device) for i, x in enumerate(features)])
        boxes, scores = _decode(priors, torch.cat(offsets, dim=1), size), torch.cat(logits, dim=1).sigmoid()
        if not (boxes.isfinite().all() and scores.isfinite().all()):
            raise DetectionError("The candidate faces are not finite numbers; try float32 instead of half precision.")
        return FaceBoxes(boxes, scores)

    def _features(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] → six maps [N, 2·width, ⌈H / step⌉, ⌈W / step⌉]."""
        levels = self.backbone(x)
        for name in ("layer5", "layer6"):
            levels.append(self.get_submodule(name)(levels[-1]))
        for i in (3, 2, 1):
            above = self.get_submodule(f"latlayer{i}")(levels[i])
            beside = self.get_submodule(f"smooth{i}")(levels[i - 1])
            levels[i - 1] = beside * F.interpolate(above, size=beside.shape[2:], mode="bilinear", align_corners=True)
        return [cast(Tensor, self.get_submodule(name)(x)) for name, x in zip(_ENHANCERS, levels, strict=True)]


def prior_boxes(size: tuple[int, int], level: int, cells: tuple[int, int], device: torch.device | str) -> Tensor:
    """The upright box of each cell, (h·w, 4) float32: centre x y, width and height as fractions of the picture.

    Args:
        size: (height, width) of the picture.
        level: 0 … 5.
        cells: (h, w) of the level's feature map.
    """
    height, width = size
    y = (torch.arange(cells[0], device=device) + 0.5) * (_STEPS[level] / height)
    x = (torch.arange(cells[1], device=device) + 0.5) * (_STEPS[level] / width)
    cy, cx = torch.meshgrid(y, x, indexing="ij")
    w = torch.full_like(cx, _SIDES[level] / width / _ASPECT**0.5)
    h = torch.full_like(cx, _SIDES[level] / height * _ASPECT**0.5)
    return torch.stack((cx, cy, w, h), dim=-1).view(-1, 4).clamp(0, 1)


def _decode(priors: Tensor, offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, P, 4) pixels, of offsets as in Liu et al., "SSD" (ECCV 2016)."""
    middle = priors[:, :2] + offsets[..., :2] * _VARIANCES[0] * priors[:, 2:]
    half = priors[:, 2:] * torch.exp(offsets[..., 2:] * _VARIANCES[1]) / 2
    height, width = size
    return torch.cat((middle - half, middle + half), dim=-1) * middle.new_tensor([width, height, width, height])


def select_faces(
    candidates: FaceBoxes, size: tuple[int, int], threshold: float, nms_threshold: float = 0.3
) -> list[FaceBoxes]:
    """The candidates of each picture that are sure enough and do not overlap a surer one, surest first.

    Args:
        size: (height, width) that boxes are clipped to, after suppression as in the published detector.
        threshold: least score.
        nms_threshold: largest overlap (IoU) of two faces.
    """
    height, width = size
    found = []
    for boxes, scores in zip(*candidates, strict=True):
        sure = scores >= threshold
        rows = sure.nonzero()[:, 0][nms(boxes[sure], scores[sure], nms_threshold)]
        limit = boxes.new_tensor([width, height, width, height])
        found.append(FaceBoxes(torch.minimum(boxes[rows].clamp(min=0), limit), scores[rows]))
    return found


_RENAMED = (
    (r"^layer1\.0\.", "backbone.stem.conv1."),
    (r"^layer1\.1\.", "backbone.stem.conv1.norm."),
    (r"^layer1\.4\.", "backbone.res2."),
    (r"^layer([234])\.0\.", lambda found: f"backbone.res{int(found[1]) + 1}."),
    (r"^(layer[56])\.([14])\.", lambda found: f"{found[1]}.{int(found[2]) // 3}.norm."),
    (r"^(layer[56])\.([03])\.", lambda found: f"{found[1]}.{int(found[2]) // 3}."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.bn([123])\.", r".conv\1.norm."),
)


def rename_published(state: Mapping[str, V]) -> dict[str, V]:
    """Published weights under this module's names."""
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in _RENAMED:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return renamed
