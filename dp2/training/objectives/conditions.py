"""From a batch to what its generator is told beyond picture and mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dp2.data.batch import Batch
from dp2.errors import TrainingError
from dp2.models.generator import EMBEDDING, JOINT_MAP, KEYPOINTS, SILHOUETTE
from dp2.models.joint_map import draw_joint_map


class Conditions:
    """Makes the conditions that a generator names.

    Args:
        surface: (V, E) float32: the embedding of each vertex of the body's mesh; None = no generator asks for it.
    """

    def __init__(self, surface: Tensor | None = None) -> None:
        self._surface = surface

    def __call__(self, batch: Batch, names: tuple[str, ...]) -> dict[str, Tensor]:
        """As `dp2.models.generator.Generator` takes them.

        Raises:
            TrainingError: the data holds nothing to make one of them from.
        """
        made: dict[str, Callable[[Batch], Tensor | None]] = {
            EMBEDDING: self._embedding,
            KEYPOINTS: lambda given: given.keypoints,
            JOINT_MAP: _joint_map,
            SILHOUETTE: lambda given: None if given.silhouette is None else given.silhouette.float(),
        }
        found: dict[str, Tensor] = {}
        for name in names:
            value = made[name](batch) if name in made else getattr(batch, name, None)
            if value is None:
                raise TrainingError(f"the generator needs {name}, which the training data does not hold.")
            found[name] = value
        return found

    def _embedding(self, batch: Batch) -> Tensor | None:
        """(N, E + 1, H, W) float32: of each pixel's vertex, 0 off the body; last the body."""
        if batch.vertices is None or self._surface is None:
            return None
        self._surface = self._surface.to(batch.vertices.device)
        body = (batch.vertices >= 0)[:, None].float()  # (N, 1, H, W)
        known = self._surface[batch.vertices.clamp(min=0)].permute(0, 3, 1, 2) * body
        return torch.cat([known, body], dim=1)


class Painter:
    """Fills the holes of a batch with a generator; see `dp2.training.objectives.objective.Paints`.

    Args:
        surface: see `Conditions`.
    """

    def __init__(self, surface: Tensor | None = None) -> None:
        self._conditions = Conditions(surface)

    def __call__(self, generator: nn.Module, batch: Batch, chance: torch.Generator) -> Tensor:
        """(N, 3, H, W) in about [-1, 1], with latents drawn from `chance`."""
        network: Any = generator
        z = torch.randn(len(batch), network.z_channels, generator=chance, device=batch.image.device)
        return self.paint(generator, batch, network.style(z))

    def paint(self, generator: nn.Module, batch: Batch, w: Tensor) -> Tensor:
        """(N, 3, H, W) for given styles."""
        network: Any = generator
        image: Tensor = network(batch.real * batch.keep, batch.keep, w=w, **self._conditions(batch, network.conditions))
        return image

    def embedding(self, batch: Batch) -> Tensor:
        """(N, E + 1, H, W) of the body's surface."""
        return self._conditions(batch, (EMBEDDING,))[EMBEDDING]


def _joint_map(batch: Batch) -> Tensor | None:
    """(N, 1, H, W) float32."""
    if batch.keypoints is None:
        return None
    height, width = batch.image.shape[2:]
    drawn = [draw_joint_map(points, height, width) for points in batch.keypoints.cpu().numpy()]
    return torch.from_numpy(np.stack(drawn)).to(batch.image.device).float()
