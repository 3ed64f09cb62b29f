"""The nouns of training: a sample, a batch of them, and what every dataset promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One training picture and what a generator is told of it. A batch is the same with a leading axis.

    Attributes:
        image: (3, H, W) uint8 RGB.
        mask: (1, H, W) bool: True = kept, False = to be painted.
        keypoints: (K, 3) float32: x and y as fractions of the picture and visibility 0 or 1; or None.
        vertices: (H, W) int64: the vertex of the body's mesh that a pixel shows, -1 off the body; or None.
        silhouette: (1, H, W) bool: True = body as segmented, before the hole was widened; or None.
        tone: (3,) float32 in [-1, 1]: coarse mean colour of the hole; or None.
        rendering: (3, H, W) uint8 RGB: a face drawn for this place, 0 elsewhere; or None.
        drawn: (1, H, W) bool: True where the rendering is; or None.
        foreign: () bool: the rendering is of somebody else, so that the picture is not what is to be painted; or None.
        pose: (D,) float32: what a pose network is to tell of the face, see `dp2.models.face_pose`; or None.
    """

    image: Tensor
    mask: Tensor
    keypoints: Tensor | None = None
    vertices: Tensor | None = None
    silhouette: Tensor | None = None
    tone: Tensor | None = None
    rendering: Tensor | None = None
    drawn: Tensor | None = None
    foreign: Tensor | None = None
    pose: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Samples stacked: the attributes of `Sample`, with N in front."""

    image: Tensor
    mask: Tensor
    keypoints: Tensor | None = None
    vertices: Tensor | None = None
    silhouette: Tensor | None = None
    tone: Tensor | None = None
    rendering: Tensor | None = None
    drawn: Tensor | None = None
    foreign: Tensor | None = None
    pose: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the samples."""
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device) -> Batch:
        """On a device; where it can, without waiting."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """In page-locked memory, from where it goes to a GPU without waiting."""
        return self._each(Tensor.pin_memory)

    @property
    def real(self) -> Tensor:
        """(N, 3, H, W) float32 in [-1, 1]."""
        return self.image.float() / 127.5 - 1

    @property
    def keep(self) -> Tensor:
        """(N, 1, H, W) float32: 1 = kept."""
        return self.mask.float()

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: None if value is None else change(value) for name, value in values.items()}
        return Batch(**changed)


class Dataset(Protocol):
    """Samples by number. Chance comes from the generator given, so that any worker gives the same sample."""

    @property
    def resolution(self) -> tuple[int, int]:
        """(height, width) of every sample."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """One sample, augmented as the dataset is set up to.

        Raises:
            DatasetError: its files are missing or damaged.
        """


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one dataset."""
    stacked: dict[str, Any] = {}
    for field in fields(Sample):
        values = [getattr(sample, field.name) for sample in samples]
        stacked[field.name] = None if values[0] is None else torch.stack(values)
    return Batch(**stacked)
