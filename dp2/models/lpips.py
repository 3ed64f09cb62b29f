"""LPIPS: how different two pictures look.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018), equation 1,
version 0.1 on VGG-16.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg16

_TAPS = {3: 64, 8: 128, 15: 256, 22: 512, 29: 512}
"""Layers of torchvision's `features` behind which maps are compared, and their channels."""


class Lpips(nn.Module):
    """Pairs of pictures to distances. `features` has torchvision's names; `lin0` … `lin4` weigh channels."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16(weights=None).features[: max(_TAPS) + 1]
        for index, channels in enumerate(_TAPS.values()):
            self.register_buffer(f"lin{index}", torch.zeros(1, channels, 1, 1))
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, 3, H, W) float32 RGB in [-1, 1], twice, to (N,) float32 ≥ 0."""
        total = torch.zeros(len(a), device=a.device)
        for index, (one, other) in enumerate(zip(self._maps(a), self._maps(b), strict=True)):
            gap = (one - other).square() * getattr(self, f"lin{index}")
            total = total + gap.sum(dim=1).mean(dim=(1, 2))
        return total

    def _maps(self, x: Tensor) -> list[Tensor]:
        """Each of length 1 along its channels."""
        x = (x - self.mean) / self.std
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _TAPS:
                found.append(F.normalize(x, eps=1e-10))
        return found
