"""Networks that only training needs beside the portrait generator: encoder, discriminator, frozen features.

Sources: as of `dp2.training.objectives.portrait_vae`; Isola et al., "Image-to-Image Translation with
Conditional Adversarial Networks" (CVPR 2017) for scores of patches; Miyato et al., "Spectral Normalization"
(ICLR 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dp2.models.faces.retinaface import MobileNet
from dp2.models.stylegan.discriminator import append_batch_spread

_SLOPE = 0.2
_ENCODER_SIDE = 64
_ENCODER_WIDTHS = (24, 48, 96, 192)
_COARSEST = 4
_HEAD_WIDTH = 128
_FEATURE_WIDTHS = (32, 64, 128, 128)


class PortraitEncoder(nn.Module):
    """Where in the latent space a face lies. It sees the face without colour and contrast, so z carries neither."""

    def __init__(self, *, z_channels: int = 64) -> None:
        super().__init__()
        sides = zip((4, *_ENCODER_WIDTHS[:-1]), _ENCODER_WIDTHS, strict=True)
        self.layers = nn.ModuleList(nn.Conv2d(before, after, 3, 2, 1) for before, after in sides)
        self.head = nn.Linear(_ENCODER_WIDTHS[-1] * _COARSEST**2, 2 * z_channels)
        nn.init.normal_(self.head.weight, 0, 0.01)

    def forward(self, image: Tensor, hole: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) in [-1, 1], (N, 1, H, W) and (N, 3, H, W) to mean and log-variance, (N, z_channels) each."""
        factor = image.shape[-1] // _ENCODER_SIDE
        if factor > 1:
            image, hole, maps = (F.avg_pool2d(x, factor) for x in (image, hole, maps))
        with torch.autocast(image.device.type, enabled=False):
            grey, hole = image.float().mean(1, keepdim=True), hole.float()
            count = hole.sum((2, 3), keepdim=True).clamp(min=1)
            centred = grey - (grey * hole).sum((2, 3), keepdim=True) / count
            variance = (centred.square() * hole).sum((2, 3), keepdim=True) / count
            face = centred * torch.rsqrt(variance + 1e-3) * hole
        x = torch.cat([face, hole, maps[:, :1], maps[:, 2:]], 1).contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
        mean, log_variance = self.head(x.flatten(1)).float().chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)


class Scores(NamedTuple):
    """How real a picture looks, higher = more real.

    Attributes:
        whole: (N, 1).
        patches: maps of any size, (N, 1, h, w) each: one of the discriminator's own, the rest on frozen features.
    """

    whole: Tensor
    patches: list[Tensor]


class PortraitDiscriminator(nn.Module):
    """A small residual discriminator with a score for the whole and for patches, and heads on frozen features.

    Args:
        widths: channels of each level, from full resolution down to 4×4 pixels.
    """

    def __init__(self, *, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 + 1 + 3, widths[0], 3, 1, 1)
        self.blocks = nn.ModuleList(_Block(widths[i], widths[i + 1], twice=i > 0) for i in range(len(widths) - 1))
        self.patches = nn.Sequential(nn.Conv2d(widths[-2], 128, 3, 1, 1), nn.LeakyReLU(_SLOPE), nn.Conv2d(128, 1, 1))
        self.last = nn.Conv2d(widths[-1] + 1, widths[-1], 3, 1, 1)
        self.whole = nn.Sequential(nn.Linear(widths[-1] * _COARSEST**2, 256), nn.LeakyReLU(_SLOPE), nn.Linear(256, 1))
        strides = (2, 2, 1, 1)
        self.heads = nn.ModuleList(_head(*pair) for pair in zip(_FEATURE_WIDTHS, strides, strict=True))

    def forward(self, image: Tensor, hole: Tensor, maps: Tensor, features: Sequence[Tensor] = ()) -> Scores:
        """(N, 3, H, W), (N, 1, H, W), (N, 3, H, W) and, for the heads, what `FrozenFeatures` gives but the first."""
        x = torch.cat([image, hole, maps], 1).contiguous(memory_format=torch.channels_last)
        x = F.leaky_relu(self.stem(x), _SLOPE)
        for block in self.blocks[:-1]:
            x = block(x)
        patches = [self.patches(x).float()]
        x = self.blocks[-1](x)
        x = F.leaky_relu(self.last(append_batch_spread(x)), _SLOPE)
        patches += [head(feature).float() for head, feature in zip(self.heads, features, strict=False)]
        return Scores(self.whole(x.flatten(1)).float(), patches)


class _Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, twice: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, in_channels, 3, 1, 1) if twice else None
        self.second = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.first is None else F.leaky_relu(self.first(x), _SLOPE)
        y = F.leaky_relu(self.second(y), _SLOPE) + self.skip(F.avg_pool2d(x, 2))
        halved: Tensor = y * sqrt(0.5)
        return halved


def _head(channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, _HEAD_WIDTH, 3, stride, 1)),
        nn.LeakyReLU(_SLOPE),
        spectral_norm(nn.Conv2d(_HEAD_WIDTH, _HEAD_WIDTH, 3, 1, 1)),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(_HEAD_WIDTH, 1, 3, 1, 1),
    )


class FrozenFeatures(nn.Module):
    """What a face detector sees in a face: five levels of RetinaFace's MobileNet-0.25, each scaled to unit variance.

    Args:
        enlarge: the picture first, by this factor.
    """

    mean: Tensor
    scale: Tensor

    _TAPS = ((0, 1), (0, 3), (0, 5), (1, 2), (1, 5))  # stage and layer

    def __init__(self, *, enlarge: int = 1) -> None:
        super().__init__()
        self.body = MobileNet()
        self.enlarge = enlarge
        self.register_buffer("mean", torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.ones(len(self._TAPS)))

    def train(self, mode: bool = True) -> FrozenFeatures:  # noqa: ARG002  frozen
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Set the scales from (N, 3, H, W) pictures."""
        self.scale.fill_(1)
        self.scale.copy_(torch.stack([1 / feature.float().std().clamp(min=1e-6) for feature in self(images)]))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] to features at strides 2 / `enlarge` and so on."""
        x = image.flip(1) * 127.5 + 127.5 - self.mean.to(image.dtype)
        if self.enlarge > 1:
            x = F.interpolate(x, scale_factor=float(self.enlarge), mode="bilinear")
        features: list[Tensor] = []
        for number, stage in enumerate((self.body.stage1, self.body.stage2)):
            for place, layer in enumerate(stage):
                x = layer(x)
                if (number, place) in self._TAPS:
                    features.append(x * self.scale[len(features)].to(x.dtype))
        return features
