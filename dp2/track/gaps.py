"""What a track looks like in frames where it was not seen: between two hits, after the last, before the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.track.motion import Array
from dp2.types import Detections, Origin

_TICK = 1e-6  # times are rounded from exact fractions; a gap of just the limit still counts
SPEED_WINDOW = 0.3  # seconds of hits from which a speed is read: long enough for jitter, short enough for turns
_SPEED_PRIOR = (0.06 / 3.0) ** 2  # s²: box jitter over a usual speed, both in sizes; keeps two close hits from a leap
_NEAR_BORDER = 0.25  # of the object's size: what is lost this near to the border, moving out, is covered up to it
_TOUCH = 1.5  # pixels from the border: that edge of the box is the picture's, not the object's


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A track was seen.

    Attributes:
        number: of the frame.
        time: of the frame, in seconds.
        detections: of the frame.
        row: in `detections`.
    """

    number: int
    time: float
    detections: Detections
    row: int

    @property
    def box(self) -> Array:
        """(4,) x0 y0 x1 y1."""
        return np.asarray(self.detections.boxes[self.row], np.float64)

    @property
    def alone(self) -> Detections:
        """Its row."""
        return self.detections[self.row]


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

    def fill(self, hits: Sequence[Hit], at: Moment) -> tuple[Detections, bool] | None:
        """One track in a frame in which it has no hit.

        Args:
            hits: of the track, in order, none of them in this frame.
            at: the frame.

        Returns:
            one row of origin FILLED, and whether it is a guess (coasting) rather than bridged between two hits;
            None where the track is not to be shown.
        """
        past = [hit for hit in hits if hit.number < at.number]
        future = [hit for hit in hits if hit.number > at.number]
        if past and future and future[0].time - past[-1].time <= self.max_gap + _TICK:
            return self._bridge(past[-1], future[0], at), False
        forward = self._coast(past[::-1], at, self.after)
        backward = self._coast(future, at, self.before)
        if forward is None or (backward is not None and future[0].time - at.time < at.time - past[-1].time):
            forward = backward
        return None if forward is None else (forward, True)

    def _bridge(self, last: Hit, following: Hit, at: Moment) -> Detections:
        passed, left = at.time - last.time, following.time - at.time
        share = passed / (passed + left) if passed + left > 0 else 0.5
        box = (1 - share) * last.box + share * following.box
        shown = self._grow(box, min(passed, left))
        near, other = (last, following) if passed <= left else (following, last)
        row = moved(near, box, shown)
        far = moved(other, box, shown)
        changes = {"scores": np.minimum(row.scores, far.scores)}
        if _same_shape(row.keypoints, far.keypoints):
            ends = [hit.detections.keypoints[hit.row] for hit in (last, following)]  # type: ignore[index]
            between = (1 - share) * ends[0] + share * ends[1]
            between[:, 2] = np.minimum(ends[0][:, 2], ends[1][:, 2])
            changes["keypoints"] = between[None]
        if row.masks is not None and far.masks is not None and row.masks.shape == far.masks.shape:
            changes["masks"] = row.masks | far.masks
        return row.with_(**changes)

    def _coast(self, hits: Sequence[Hit], at: Moment, limit: float) -> Detections | None:
        """From the first of `hits`, which lead away from the frame in time, at the speed that they show."""
        if not hits or limit <= 0:
            return None
        start, elapsed = hits[0].box, at.time - hits[0].time
        speed = _speed(hits, at.height, at.width)
        box = start + elapsed * speed
        if not _inside(box, at.height, at.width):
            return None
        direction = 1.0 if at.number > hits[0].number else -1.0
        crosses = not _inside(start + direction * self.max_gap * speed, at.height, at.width)
        if abs(elapsed) > (max(limit, self.max_gap) if crosses else limit) + _TICK:
            return None
        shown = self._grow(box, abs(elapsed))
        if crosses:
            shown = _up_to_border(shown, direction * speed, at.height, at.width)
        return moved(hits[0], box, shown)

    def _grow(self, box: Array, seconds: float) -> Array:
        margin = (box[2:] - box[:2]) / 2 * self.growth * seconds
        return np.concatenate([box[:2] - margin, box[2:] + margin])


def moved(hit: Hit, box: Array, shown: Array) -> Detections:
    """A hit as it looks at another place.

    Args:
        hit: what is moved.
        box: (4,) where the object is; keypoints follow it.
        shown: (4,) where it may be; the box of the result, and the mask is stretched with it.

    Returns:
        one row of origin FILLED.
    """
    row = hit.alone
    start = hit.box
    size = np.maximum(start[2:] - start[:2], 1.0)
    changes: dict[str, NDArray[np.generic] | None] = {
        "boxes": shown[None],
        "origin": np.array([Origin.FILLED], np.uint8),
        "track_ids": None,
    }
    if row.keypoints is not None:
        points = row.keypoints.copy()
        points[0, :, :2] = (points[0, :, :2] - start[:2]) * ((box[2:] - box[:2]) / size) + box[:2]
        changes["keypoints"] = points
    if row.masks is not None:
        changes["masks"] = _moved_mask(row.masks[0], start, shown)[None]
    return row.with_(**changes)


def conform(row: Detections, like: Detections) -> Detections:
    """The same with just the optional arrays of `like`, so that both can be joined without loss to `like`.

    A mask that is missing is the box, a missing surface is background, missing keypoints have confidence 0.
    """
    if not len(like):
        return row
    count = len(row)
    changes: dict[str, NDArray[np.generic] | None] = {}
    for name in ("keypoints", "masks", "surface"):
        wanted, given = getattr(like, name), getattr(row, name)
        if wanted is None:
            changes[name] = None
        elif given is None or given.shape[1:] != wanted.shape[1:]:
            changes[name] = np.full((count, *wanted.shape[1:]), -1 if name == "surface" else 0, wanted.dtype)
            if name == "masks":
                changes[name] = np.stack([_box_mask(box, *wanted.shape[1:]) for box in row.boxes])
    return row.with_(**changes)


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


def _free(low: float, high: float, low_cut: bool, high_cut: bool) -> float:
    if low_cut == high_cut:
        return (low + high) / 2
    return high if low_cut else low


def _inside(box: Array, height: int, width: int) -> bool:
    return bool(box[2] > 0 and box[3] > 0 and box[0] < width and box[1] < height)


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


def _moved_mask(mask: NDArray[np.bool_], start: Array, end: Array) -> NDArray[np.bool_]:
    """`mask` under the map that takes box `start` to box `end`, nearest neighbour, over the same frame."""
    out = np.zeros_like(mask)
    ranges = []
    for axis, (low, high) in enumerate(((1, 3), (0, 2))):
        used = np.flatnonzero(mask.any(axis=1 - axis))
        if not len(used):
            return out
        scale = max(end[high] - end[low], 1.0) / max(start[high] - start[low], 1.0)
        first = int(np.floor((used[0] - start[low]) * scale + end[low]))
        last = int(np.ceil((used[-1] + 1 - start[low]) * scale + end[low]))
        to = np.arange(max(first, 0), min(last, mask.shape[axis]))
        origin = np.floor((to + 0.5 - end[low]) / scale + start[low]).astype(np.int64)
        kept = (origin >= 0) & (origin < mask.shape[axis])
        ranges.append((to[kept], origin[kept]))
    (rows, from_rows), (columns, from_columns) = ranges
    out[np.ix_(rows, columns)] = mask[np.ix_(from_rows, from_columns)]
    return out


def _box_mask(box: NDArray[np.float32], height: int, width: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), np.bool_)
    x0, y0 = np.maximum(np.floor(box[:2]), 0).astype(int)
    x1, y1 = np.maximum(np.ceil(box[2:]), 0).astype(int)
    mask[y0:y1, x0:x1] = True
    return mask


def _same_shape(first: NDArray[np.float32] | None, second: NDArray[np.float32] | None) -> bool:
    return first is not None and second is not None and first.shape == second.shape
