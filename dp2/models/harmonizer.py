"""A U-Net that fits a drawn face into a picture, and the critic it is trained against.

Source: Ronneberger et al., "U-Net" (MICCAI 2015). Fully convolutional: sides are multiples of 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE = 0.2
_CHANNELS = 3 + 1 + 3 + 1  # picture, hole, rendering, its mask


class Harmonizer(nn.Module):
    """Paints the hole of a picture, from a rendering that covers most of it.

    Args:
        widths: channels of each level, from full resolution down.
    """

    def __init__(self, *, widths: Sequence[int] = (24, 48, 96, 160, 224, 224)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(_CHANNELS, widths[0], 3, 1, 1)
        self.down = nn.ModuleList(_Block(widths[max(0, n - 1)], widths[n]) for n in range(len(widths)))
        rising = range(len(widths) - 1, 0, -1)
        self.up = nn.ModuleList(_Block(widths[n] + widths[n - 1], widths[n - 1]) for n in rising)
        self.last = nn.Conv2d(widths[0], 3, 3, 1, 1)

    def forward(self, picture: Tensor, hole: Tensor, rendering: Tensor, drawn: Tensor) -> Tensor:
        """Whole crops, of which only the hole is meant.

        Args:
            picture: (N, 3, H, W) in [0, 1], its hole filled with one colour.
            hole: (N, 1, H, W), 1 in the hole.
            rendering: (N, 3, H, W) in [0, 1], 0 where nothing is drawn.
            drawn: (N, 1, H, W), 1 where the rendering is; within the hole.

        Returns:
            (N, 3, H, W) in about [0, 1].
        """
        x = self.stem(torch.cat([picture, hole, rendering, drawn], 1))
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if level else x)
            seen.append(x)
        for block, skip in zip(self.up, seen[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], 1))
        changed: Tensor = self.last(F.silu(x)) + rendering + picture * (1 - drawn)
        return changed


class HarmonizerCritic(nn.Module):
    """How real a painted hole looks: in patches of 8 pixels, and as a whole.

    Args:
        widths: channels of each level, from full resolution down.
    """

    def __init__(self, *, widths: Sequence[int] = (32, 64, 128, 192)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(4, widths[0], 3, 1, 1), nn.LeakyReLU(_SLOPE)]
        for before, after in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(_SLOPE)]
        layers += [spectral_norm(nn.Conv2d(widths[-1], widths[-1], 3, 1, 1)), nn.LeakyReLU(_SLOPE)]
        self.features = nn.Sequential(*layers)
        self.patches = nn.Conv2d(widths[-1], 1, 3, 1, 1)
        self.whole = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(widths[-1] * 16, 64),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(64, 1),
        )

    def forward(self, picture: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """Higher = more real.

        Args:
            picture: (N, 3, H, W) in [0, 1].
            hole: (N, 1, H, W), 1 in the hole.

        Returns:
            (N, 1, H/8, W/8) for patches and (N, 1) for the whole.
        """
        features = self.features(torch.cat([picture * 2 - 1, hole], 1))
        return self.patches(features), self.whole(features)


class _Block(nn.Module):
    """Two convolutions beside a straight way."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, 1, 1)
        self.second = nn.Conv2d(after, after, 3, 1, 1)
        self.straight = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.straight(x) + self.second(F.silu(self.first(F.silu(x))))
        return changed
