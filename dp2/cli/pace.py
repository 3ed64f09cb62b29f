"""How fast work goes, and a line about it now and then for who sees no bar."""

from __future__ import annotations

import time

INTERVAL = 10.0  # seconds between lines


class Pace:
    """Counts what is done.

    Args:
        name: of the work, for lines.
        unit: what is counted.
    """

    def __init__(self, name: str, unit: str = "frames") -> None:
        self._name = name
        self._unit = unit
        self.count = 0
        self._began = self._said = time.monotonic()

    def restart(self) -> None:
        """Count a further round of the same work from 0."""
        if self.count:
            self._began = time.monotonic()
        self.count = 0

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.count / max(time.monotonic() - self._began, 1e-9)

    def line(self, total: int | None, step: str = "") -> str | None:
        """How far the work is, if nothing was said about it for a while; else None.

        Args:
            total: how much there is, exactly or estimated; None = unknown.
            step: of the work, in words.
        """
        now = time.monotonic()
        if now - self._said < INTERVAL:
            return None
        self._said = now
        of = f" of {total}" if total and total >= self.count else ""
        left = f", {_duration((total - self.count) / self.rate)} left" if total and total > self.count > 0 else ""
        step = f", {step}" if step else ""
        return f"{self._name}: {self.count}{of} {self._unit}{step}, {self.rate:.1f} {self._unit}/s{left}"


def _duration(seconds: float) -> str:
    """E.g. 40 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
