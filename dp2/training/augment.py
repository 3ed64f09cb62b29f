"""Differentiable augmentation of what a discriminator sees, so that few pictures do not become known by heart.

Sources: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (NeurIPS 2020); Karras et al.,
"Training Generative Adversarial Networks with Limited Data" (NeurIPS 2020), section 3 and appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What a discriminator sees.

    Attributes:
        image: (N, 3, H, W) in [-1, 1].
        condition: (N, 3, H, W): the picture with 0 in the hole.
        mask: (N, 1, H, W): 1 = kept, 0 = hole.
        extra: (N, E, H, W) further maps, or None.
    """

    image: Tensor
    condition: Tensor
    mask: Tensor
    extra: Tensor | None = None


class Augmentation(nn.Module):
    """What all augmentations have in common. This one changes nothing."""

    def forward(self, views: Views, chance: torch.Generator) -> Views:  # noqa: ARG002
        """Geometry moves all views alike; colours change picture and condition alike; the hole stays 0."""
        return views

    def observe(self, logits: Tensor) -> None:
        """Take note of (N, 1) logits of real pictures."""

    def adapt(self, step: int) -> None:
        """Called before each step."""

    def strength(self) -> Tensor:
        """() for the log."""
        return torch.ones(())
