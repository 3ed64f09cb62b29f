"""A dataset made on the spot, as dotted names in configs find it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from dp2.data.batch import Sample
from dp2.metrics.metric import Result
from dp2.models.portrait.critics import FrozenFeatures


@dataclass(frozen=True)
class Blobs:
    """Coloured blobs on coloured ground; the hole is a box around the blob."""

    length: int = 64
    resolution: tuple[int, int] = (32, 32)

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        height, width = self.resolution
        colours = np.random.default_rng(index).integers(0, 256, (2, 3, 1, 1))
        y, x = np.mgrid[:height, :width]
        cy, cx = rng.uniform(0.4, 0.6, 2) * (height, width)
        blob = ((y - cy) / height) ** 2 + ((x - cx) / width) ** 2 < 0.05
        hole = (abs(y - cy) < 0.3 * height) & (abs(x - cx) < 0.3 * width)
        image = torch.from_numpy(np.where(blob, colours[0], colours[1]).astype(np.uint8))
        points = np.stack([np.full(17, cx / width), np.full(17, cy / height), np.ones(17)], 1).astype(np.float32)
        vertices = np.where(blob, (x + y) % 5, -1)
        return Sample(
            image, torch.from_numpy(~hole)[None], torch.from_numpy(points), torch.from_numpy(vertices),
            torch.from_numpy(blob)[None],
        )  # fmt: skip


@dataclass(frozen=True)
class Faces(Blobs):
    """Blobs with what the portrait generator is told."""

    resolution: tuple[int, int] = (64, 64)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        seen = super().sample(index, rng)
        assert seen.keypoints is not None
        return Sample(seen.image, seen.mask, seen.keypoints[:5], tone=torch.zeros(3))


def untrained_features() -> FrozenFeatures:
    """In place of a face detector's."""
    return FrozenFeatures()


def surface() -> torch.Tensor:
    """(5, 2) an embedding of five vertices."""
    return torch.linspace(-1, 1, 10).view(5, 2)


class Nothing:
    """A metric that measures nothing."""

    draws = 1

    def start(self, run: object) -> None:
        pass

    def update(self, view: object) -> None:
        pass

    def results(self) -> list[Result]:
        return [Result("nothing", math.nan)]
