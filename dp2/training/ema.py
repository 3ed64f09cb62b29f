"""The average of a network over the steps of its training, which paints better than the network itself.

Sources: Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training" (ICLR 2019); Karras et al.,
"Training Generative Adversarial Networks with Limited Data" (NeurIPS 2020) for the ramp-up.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class ExponentialAverage:
    """Parameters averaged with a half-life in images; buffers are the latest.

    Args:
        network: what is averaged; copied, and left alone.
        half_life: in images.
        rampup: early in the run the half-life is this share of the images seen; None = no ramp-up.

    Attributes:
        network: the average, in eval mode, frozen.
    """

    def __init__(self, network: nn.Module, *, half_life: float, rampup: float | None) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._half_life = half_life
        self._rampup = rampup

    def decay(self, batch: int, images: int) -> float:
        """How much of the average stays in a step of `batch` images after `images` earlier ones."""
        half_life = self._half_life if self._rampup is None else min(self._half_life, images * self._rampup)
        return float(0.5 ** (batch / max(half_life, 1e-8)))

    @torch.no_grad()
    def update(self, network: nn.Module, batch: int, images: int) -> None:
        """Take in the network after a step."""
        weight = 1 - self.decay(batch, images)
        averages = dict(self.network.named_parameters())
        for name, parameter in network.named_parameters():
            averages[name].lerp_(parameter, weight)
        buffers = dict(self.network.named_buffers())
        for name, buffer in network.named_buffers():
            buffers[name].copy_(buffer)
