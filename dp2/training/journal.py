"""Averages of what the phases give, from one line of the log to the next."""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch import Tensor

from dp2.training.distributed import Group


class Journal:
    """Collects without waiting for the device; only `averages` does."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._images = 0
        self._since = time.perf_counter()

    def add(self, phase: str, numbers: Mapping[str, Tensor]) -> None:
        """What an update gave; see `dp2.training.update.Updater`."""
        for name, value in numbers.items():
            key = f"{phase}/{name}"
            self._sums[key] = self._sums[key] + value if key in self._sums else value
            self._counts[key] = self._counts.get(key, 0) + 1

    def count(self, images: int) -> None:
        """Images of a step."""
        self._images += images

    def averages(self, group: Group) -> dict[str, float]:
        """Over the steps since the last call and over processes; with images a second. Starts anew."""
        names = sorted(self._sums)
        values = [self._sums[name].clone() for name in names]
        group.sum_(values)
        found = {name: float(value) / self._counts[name] for name, value in zip(names, values, strict=True)}
        now = time.perf_counter()
        found["images_per_second"] = self._images / max(now - self._since, 1e-9)
        self._sums, self._counts, self._images, self._since = {}, {}, 0, now
        return found
