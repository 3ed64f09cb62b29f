"""A detector and a fill for generated scenes; processes of the tests import them, so they live in a file of their own.

A face is a white square on a dark ground. The detector misses it in every fifth frame, where tracking fills the gap.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from dp2.synthesize.fills import Cutout
from dp2.types import Detections, Image

NUMBER = 16  # frames carry their number in grey levels of this step, in the upper left corner


class Squares:
    """Finds white squares; `scales` is what --quality changes."""

    kinds = ("face",)

    def __init__(self, scales: Sequence[float] = (1.0,)) -> None:
        self.settings: dict[str, Any] = {"scales": list(scales)}
        self.seen: list[int] = []

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        return [(self._find(image),) for image in images]

    def _find(self, image: Image) -> Detections:
        number = int(image[:8, :8].mean() / 4)
        self.seen.append(number)
        rows, columns = np.nonzero(image.min(axis=2) > 200)
        if not len(rows) or number % 5 == 4:
            return Detections.empty("face")
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Detections("face", np.array([box], np.float32), np.array([0.9], np.float32))


class Slow:
    """A green fill that takes its time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def fill(self, cutout: Cutout) -> Image:
        time.sleep(self.seconds)
        return np.full(cutout.pixels.shape, (0, 200, 0), np.uint8)
