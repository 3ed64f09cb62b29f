"""How far the painted pixels are from the original's."""

from __future__ import annotations

import math

from dp2.metrics.metric import Result, Run, View


class MaskedL1:
    """Mean absolute difference within the holes, as a share of the range of values.

    Low is no merit by itself: who paints the original back has 0.
    """

    draws = 1

    def __init__(self) -> None:
        self._sum = 0.0
        self._pixels = 0
        self._count = 0

    def start(self, run: Run) -> None:  # noqa: ARG002  (see `Metric`)
        """See `dp2.metrics.metric.Metric`."""
        self._sum, self._pixels, self._count = 0.0, 0, 0

    def update(self, view: View) -> None:
        """See `dp2.metrics.metric.Metric`."""
        hole = ~view.batch.mask
        gap = (view.fakes[0].double() - view.batch.image.double()).abs() * hole
        self._sum += float(gap.sum()) / 255
        self._pixels += 3 * int(hole.sum())
        self._count += len(view.batch)

    def results(self) -> list[Result]:
        """See `dp2.metrics.metric.Metric`."""
        value = self._sum / self._pixels if self._pixels else math.nan
        return [Result("masked L1", value, "", "", self._count, "" if self._pixels else "no hole")]
