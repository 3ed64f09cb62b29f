"""Lets a generator paint the holes of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dp2.data.batch import Batch
from dp2.errors import TrainingError
from dp2.synthesize.latents import hashed_index, latent
from dp2.training.objectives.conditions import Conditions


class Painter:
    """A generator on a device, with latents that depend on seed, sample and draw alone.

    Args:
        network: as `dp2.models.generator.Generator`, in evaluation mode.
        device: where to run it.
        seed: of the latents.
        surface: (V, E) float32: the embedding of the body's vertices, where the generator asks for it.
        truncation: of styles, in [0, 1]; None = as drawn.
    """

    def __init__(
        self,
        network: Any,
        device: torch.device,
        *,
        seed: int = 0,
        surface: Tensor | None = None,
        truncation: float | None = None,
    ) -> None:
        self._network = network.to(device)
        self._conditions = Conditions(surface)
        self._seed = seed
        self.device = device
        self.truncation = truncation

    def latents(self, indices: Sequence[int], draw: int) -> Tensor:
        """(N, z_channels) float32 on the device, standard normal."""
        rows = [latent(hashed_index(self._seed + draw, index), self._network.z_channels) for index in indices]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    @torch.inference_mode()
    def styles(self, z: Tensor, truncation: float | None = None, center_index: Tensor | None = None) -> Tensor:
        """(N, w_channels) float32; see `dp2.models.generator.Generator.style`."""
        styles: Tensor = self._network.style(z, truncation=truncation, center_index=center_index)
        return styles

    @torch.inference_mode()
    def paint(self, batch: Batch, styles: Tensor) -> Tensor:
        """Fill the holes.

        Returns:
            (N, 3, H, W) float32 RGB in [-1, 1] on the device; where the mask keeps, the original's.

        Raises:
            TrainingError: the data lacks a condition that the generator needs, or its values are not finite.
        """
        here = batch.to(self.device)
        keep = here.keep
        extra = self._conditions(here, tuple(self._network.conditions))
        image = self._network(here.real * keep, keep, w=styles, **extra).float()
        if not image.isfinite().all():
            raise TrainingError("the generator's values are not finite; it cannot be measured.")
        return torch.where(here.mask, here.real, image.clamp(-1, 1))

    def draw(self, batch: Batch, indices: Sequence[int], draw: int) -> Tensor:
        """`paint` with the latents of a draw, as (N, 3, H, W) uint8 RGB on the CPU."""
        return to_bytes(self.paint(batch, self.styles(self.latents(indices, draw), self.truncation)))


def to_bytes(images: Tensor) -> Tensor:
    """float32 in [-1, 1] to uint8 on the CPU."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()
