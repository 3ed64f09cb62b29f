"""What a track looks like in frames where it was not seen: between two hits, after the last, before the first."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dp2.track.filled import Filled, Hit, between, guessed
from dp2.track.motion import Array

_TICK = 1e-6  # times are rounded from exact fractions; a gap of just the limit still counts
SPEED_WINDOW = 0.5  # seconds of hits that tell a speed: fewer show the jitter of boxes, more hide turns
_SPEED_PRIOR = (0.06 / 2.0) ** 2  # s²: box jitter over a usual speed, both in sizes; keeps two close hits from a leap
_NEAR_BORDER = 0.25  # of the object's size: what is lost this near to the border, moving out, is covered up to it
_LAST_SEEN = 0.1  # of the object's size: of it stays at the border while it coasts out
_TOUCH = 1.5  # pixels from the border: that edge of the box is the picture's, not the object's


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame without its pixels: number in the stream, time in seconds, height and width."""

    number: int
    time: float
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Filling:
    """How long a track is shown without being seen, in seconds.

    Attributes:
        max_gap: between two hits; also the longest way out of, or into, the picture.
        after: past a hit that no other follows in time.
        before: ahead of a first hit.
        growth: share by which a box grows with each second to the nearest hit, for what is not known about it.
    """

    max_gap: float
    after: float
    before: float
    growth: float

    @property
    def horizon(self) -> float:
        """The longest time, in seconds, over which a hit has an effect."""
        return max(self.max_gap, self.after, self.before)

    def fill(self, hits: Sequence[Hit], at: Moment) -> Filled | None:
        """One track in a frame in which it has no hit.

        Args:
            hits: of the track, in order, none of them in this frame.
            at: the frame.

        Returns:
            None where the track is not to be shown.
        """
        split = bisect(hits, at.number, key=lambda hit: hit.number)
        past, future = hits[:split], hits[split:]
        if past and future and future[0].time - past[-1].time <= self.max_gap + _TICK:
            return self._bridge(past[-1], future[0], at)
        forward = self._coast(past[::-1], at, self.after)
        backward = self._coast(future, at, self.before)
        if forward is None or (backward is not None and future[0].time - at.time < at.time - past[-1].time):
            return backward
        return forward

    def _bridge(self, last: Hit, following: Hit, at: Moment) -> Filled:
        passed, left = at.time - last.time, following.time - at.time
        share = passed / (passed + left) if passed + left > 0 else 0.5
        box = (1 - share) * last.box + share * following.box
        return between(last, following, share, box, self._grow(box, min(passed, left)))

    def _coast(self, hits: Sequence[Hit], at: Moment, limit: float) -> Filled | None:
        """From the first of `hits`, which lead away from the frame in time, at the speed that they show."""
        if not hits or limit <= 0:
            return None
        start, elapsed = hits[0].box, at.time - hits[0].time
        speed = _speed(hits, at.height, at.width)
        box = start + elapsed * speed
        if not _inside(box, at.height, at.width):
            if abs(elapsed) > limit + _TICK or not touches_border(start, at.height, at.width):
                return None
            # An arm or a leg may be still there, and its box too weak for the detector
            box = _held_back(box, at.height, at.width)
        direction = 1.0 if at.number > hits[0].number else -1.0
        crosses = not _inside(start + direction * self.max_gap * speed, at.height, at.width)
        if abs(elapsed) > (max(limit, self.max_gap) if crosses else limit) + _TICK:
            return None
        shown = self._grow(box, abs(elapsed))
        if crosses:
            shown = _up_to_border(shown, direction * speed, at.height, at.width)
        return guessed(hits[0], box, shown, _largest(hits))

    def _grow(self, box: Array, seconds: float) -> Array:
        margin = (box[2:] - box[:2]) / 2 * self.growth * seconds
        return np.concatenate([box[:2] - margin, box[2:] + margin])


def _speed(hits: Sequence[Hit], height: int, width: int) -> Array:
    """(4,) pixels a second of a box's edges as a whole, by least squares over the hits nearest to the first.

    Where the picture's border cuts the object, the other edge tells its speed.
    """
    near = [hit for hit in hits if abs(hit.time - hits[0].time) <= SPEED_WINDOW]
    times = np.array([hit.time for hit in near])
    boxes = np.stack([hit.box for hit in near])
    times -= times.mean()
    edges = times @ (boxes - boxes.mean(axis=0)) / (times @ times + _SPEED_PRIOR)
    x0, y0, x1, y1 = hits[0].box
    across = _free(edges[0], edges[2], x0 <= _TOUCH, x1 >= width - _TOUCH)
    down = _free(edges[1], edges[3], y0 <= _TOUCH, y1 >= height - _TOUCH)
    return np.array([across, down, across, down])


def _largest(hits: Sequence[Hit]) -> Array:
    """(2,) the largest width and height among the hits nearest to the first."""
    near = [hit.box for hit in hits if abs(hit.time - hits[0].time) <= SPEED_WINDOW]
    largest: Array = np.max([box[2:] - box[:2] for box in near], axis=0)
    return largest


def _free(low: float, high: float, low_cut: bool, high_cut: bool) -> float:
    if low_cut == high_cut:
        return (low + high) / 2
    return high if low_cut else low


def _inside(box: Array, height: int, width: int) -> bool:
    return bool(box[2] > 0 and box[3] > 0 and box[0] < width and box[1] < height)


def touches_border(box: Array, height: int, width: int) -> bool:
    """Whether the picture's border may cut the object off."""
    x0, y0, x1, y1 = box
    return bool(x0 <= _TOUCH or y0 <= _TOUCH or x1 >= width - _TOUCH or y1 >= height - _TOUCH)


def _held_back(box: Array, height: int, width: int) -> Array:
    """A box that left the picture, moved back until a little of it is inside."""
    size = np.array([width, height])
    inside = np.minimum(_LAST_SEEN * (box[2:] - box[:2]), size)
    shift = np.maximum(inside - box[2:], 0) - np.maximum(box[:2] - (size - inside), 0)
    moved: Array = box + np.concatenate([shift, shift])
    return moved


def _up_to_border(box: Array, speed: Array, height: int, width: int) -> Array:
    reach = _NEAR_BORDER * np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    x0, y0, x1, y1 = box
    if speed[0] < 0 and x0 < reach:
        x0 = min(x0, 0.0)
    if speed[0] > 0 and x1 > width - reach:
        x1 = max(x1, float(width))
    if speed[1] < 0 and y0 < reach:
        y0 = min(y0, 0.0)
    if speed[1] > 0 and y1 > height - reach:
        y1 = max(y1, float(height))
    return np.array([x0, y0, x1, y1])
