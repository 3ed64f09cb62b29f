"""Networks that describe a picture by a vector."""

from __future__ import annotations

import itertools
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeatureNet(Protocol):
    """Pictures to vectors."""

    @property
    def name(self) -> str:
        """Of network and weights: for reports, and as a key of what is cached."""

    @property
    def suffix(self) -> str:
        """Behind the name of a distance in this net's features: "" = as published, "-CLIP", "-like" = a stand-in."""

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB to (N, C) float32."""


class SeededConvolutions(nn.Module):
    """A stand-in that needs no weights: five layers of fixed random convolutions over a picture of 64 pixels.

    Means and spreads of random features tell pictures of other colours, textures and sharpness apart; they know nothing
    of faces. Numbers made with it compare only with numbers made with it.

    Args:
        device: "auto", "cpu", "cuda", …
        seed: of the weights, which are the same on every machine.
        width: channels of the first layer.
    """

    suffix = "-like"

    def __init__(self, *, device: str = "cpu", seed: int = 0, width: int = 16) -> None:
        from dp2.inference.device import pick_device

        super().__init__()
        self.name = f"seeded convolutions (seed {seed}, width {width}), a stand-in"
        rng = np.random.RandomState(seed)  # torch's own numbers differ between its versions
        channels = [3, width, 2 * width, 2 * width, 4 * width, 4 * width]
        self.layers = nn.ModuleList()
        for before, after in itertools.pairwise(channels):
            layer = nn.Conv2d(before, after, 3, 2, 1, bias=False)
            weights = rng.normal(size=(after, before, 3, 3)) * np.sqrt(2 / (9 * before))
            layer.weight.data = torch.from_numpy(weights.astype(np.float32))
            self.layers.append(layer)
        self.eval().requires_grad_(False)
        self._device = pick_device(device)
        self.to(self._device)

    def maps(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) float32 RGB in [-1, 1] to the layers' feature maps, finest first."""
        x = F.interpolate(images.to(self._device), size=(64, 64), mode="bilinear", antialias=True, align_corners=False)
        found: list[Tensor] = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            found.append(x)
        return found

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """See `FeatureNet`; C = 12 × width: means of the last two layers, spread of the last but one."""
        last = self.maps(images.float() / 127.5 - 1)[-2:]
        parts = [part.mean(dim=(2, 3)) for part in last] + [last[0].std(dim=(2, 3))]
        return torch.cat(parts, dim=1)
