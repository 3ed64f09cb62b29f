"""What the command line draws over results."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from dp2.result import Result
from dp2.sink.overlay import draw
from dp2.types import Image


@dataclass
class Overlay:
    """Draws detections over what `Options.view` is given.

    Attributes:
        everything: boxes, masks, keypoints and ids too (`--visualize-detection`).
        scores: the score above each region.
        legend: counts and frames per second.
    """

    everything: bool = False
    scores: bool = False
    legend: bool = False
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=30))

    def __call__(self, result: Result) -> Image:
        self._times.append(time.perf_counter())
        return draw(
            result.image,
            result.detections,
            shapes=self.everything,
            scores=self.scores or self.everything,
            ids=self.everything,
            legend=self._legend(result) if self.legend else None,
        )

    def _legend(self, result: Result) -> dict[str, str]:
        lines = {f"{found.kind}s": str(len(found)) for found in result.detections}
        if len(self._times) > 1:
            lines["fps"] = f"{(len(self._times) - 1) / (self._times[-1] - self._times[0]):.1f}"
        return lines
