"""Datasets that show which sample came, importable by worker processes."""

from __future__ import annotations

import numpy as np
import torch

from dp2.data.batch import Sample
from dp2.errors import DatasetError


class Numbers:
    """Each picture shows its own number, and chance in its second channel."""

    resolution = (4, 4)

    def __init__(self, length: int, bad: int = -1) -> None:
        self.length, self.bad = length, bad

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        if index == self.bad:
            raise DatasetError(f"sample-{index}.png: is damaged.")
        image = torch.full((3, 4, 4), index, dtype=torch.uint8)
        image[1] = int(rng.integers(256))
        return Sample(image, torch.ones(1, 4, 4, dtype=torch.bool))


class WeightedNumbers(Numbers):
    @property
    def weights(self) -> np.ndarray:
        return np.arange(self.length, dtype=np.float64)
