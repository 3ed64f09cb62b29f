from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import numpy as np
import pytest

from dp2.track.tracker import Tracking
from dp2.types import FACE, Detections, Frame, Origin

Run = Callable[..., list[Detections]]


@pytest.fixture(scope="session")
def faces() -> Callable[..., Detections]:
    """Detections from lists of boxes; rows of `weak` boxes come last."""

    def build(sure: Sequence[Sequence[float]], weak: Sequence[Sequence[float]] = (), kind: str = FACE) -> Detections:
        boxes = np.array([*sure, *weak], np.float32).reshape(-1, 4)
        origin = np.array([Origin.DETECTED] * len(sure) + [Origin.WEAK] * len(weak), np.uint8)
        return Detections(kind, boxes, np.full(len(boxes), 0.5, np.float32), origin=origin)

    return build


@pytest.fixture(scope="session")
def track() -> Run:
    """Run one kind of detections, a frame each, through a tracker."""

    def run(
        found: Iterable[Detections],
        fps: float = 25,
        times: Sequence[float] | None = None,
        live: bool = False,
        size: tuple[int, int] = (480, 640),
        tracking: Tracking | None = None,
    ) -> list[Detections]:
        tracker = (tracking or Tracking()).start(live=live)
        image = np.zeros((*size, 3), np.uint8)
        out = []
        for index, detections in enumerate(found):
            time = Fraction(index) / Fraction(fps) if times is None else Fraction(times[index])
            out += list(tracker.update([detections], Frame(image, index, time)))
        out += list(tracker.flush())
        assert all(len(kinds) == 1 for kinds in out)
        return [kinds[0] for kinds in out]

    return run


@pytest.fixture(scope="session")
def covered() -> Callable[..., float]:
    """Share of the part of a box inside the frame that some output box covers, grown by the default mask_scale."""

    def share(out: Detections, truth: Sequence[float], size: tuple[int, int] = (480, 640), scale: float = 1.3) -> float:
        x0, y0 = np.maximum(truth[:2], 0)
        x1, y1 = np.minimum(truth[2:], (size[1], size[0]))
        if x0 >= x1 or y0 >= y1:
            return 1.0
        ys, xs = np.meshgrid(np.linspace(y0, y1, 41), np.linspace(x0, x1, 41), indexing="ij")
        hidden = np.zeros(xs.shape, bool)
        for left, top, right, bottom in out.boxes:
            mx, my = (right - left) * (scale - 1) / 2, (bottom - top) * (scale - 1) / 2
            hidden |= (xs >= left - mx) & (xs <= right + mx) & (ys >= top - my) & (ys <= bottom + my)
        return float(hidden.mean())

    return share
