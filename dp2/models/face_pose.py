"""A small network that tells from a crop how a head is turned, how its face moves and what of the face is seen.

Rotations come as six numbers. Source: Zhou et al., "On the Continuity of Rotation Representations in Neural Networks"
(CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 96  # pixels, of the crop
MASK = 48  # pixels, of the mask
NUMBERS = 6 + 1 + 2 + 5  # rotation, logarithm of the scale, shift, expression


class Told(NamedTuple):
    """What the network tells of N crops.

    Attributes:
        pose: (N, 14): two rows of the rotation, before they are made orthonormal; logarithm of the scale in sides of
            the crop a model unit; shift in sides of the crop, from its middle; expression (`dp2.faces.mesh.measures`)
            less its usual values, in hundredths of a model unit divided by ten.
        mask: (N, 1, 48, 48) logits: the face is seen here.
        face: (N, 1) logit: there is a face.
    """

    pose: Tensor
    mask: Tensor
    face: Tensor


class FacePoseNet(nn.Module):
    """Residual levels down to 6 pixels, a head for numbers, and a way back up for the mask.

    Args:
        widths: channels at 48, 24, 12 and 6 pixels.
        hidden: width of the head.
    """

    def __init__(self, *, widths: Sequence[int] = (16, 32, 64, 128), hidden: int = 160) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths))
        self.blocks = nn.ModuleList(_Block(width) for width in widths[1:])
        self.more = _Block(widths[-2])
        self.gather = nn.Conv2d(widths[-1], hidden, 3, 2, 1)
        self.numbers = nn.Sequential(nn.Linear(hidden * 9, hidden), nn.SiLU(), nn.Linear(hidden, NUMBERS + 1))
        sides = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Conv2d(a + b, b, 3, 1, 1) for a, b in sides)
        self.mask = nn.Conv2d(widths[0], 1, 3, 1, 1)

    def forward(self, crops: Tensor) -> Told:
        """(N, 3, 96, 96) in [-1, 1] to what is told of them."""
        x = F.silu(self.stem(crops))
        seen = [x]
        for level, (down, block) in enumerate(zip(self.down, self.blocks, strict=True)):
            x = block(F.silu(down(x)))
            if level == len(self.blocks) - 2:
                x = self.more(x)
            seen.append(x)
        numbers = self.numbers(F.silu(self.gather(x)).flatten(1))
        for up, skip in zip(self.up, seen[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = F.silu(up(torch.cat([x, skip], 1)))
        return Told(numbers[:, :NUMBERS], self.mask(x), numbers[:, NUMBERS:])


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.second(F.silu(self.first(x)))
        return changed


def orthonormal(rows: Tensor) -> Tensor:
    """(N, 6) to (N, 3, 3) rotations."""
    first = F.normalize(rows[:, :3], dim=1)
    second = rows[:, 3:6] - (first * rows[:, 3:6]).sum(1, keepdim=True) * first
    second = F.normalize(second, dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], 1)
