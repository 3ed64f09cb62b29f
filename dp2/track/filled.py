"""A row that no detector gave: how an object that was seen elsewhere looks where it must be now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dp2.track.motion import Array
from dp2.types import Detections, Origin


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A track was seen.

    Attributes:
        number: of the frame.
        time: of the frame, in seconds.
        box: (4,) x0 y0 x1 y1 in pixels.
        detections: of the frame.
        row: in `detections`.
    """

    number: int
    time: float
    box: Array
    detections: Detections
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """One row for a frame without a hit; arrays as in `Detections`, without the first axis.

    Attributes:
        guessed: the track is coasting; it was not seen on both sides of the frame.
    """

    box: Array
    score: float
    keypoints: NDArray[np.float32] | None
    mask: NDArray[np.bool_] | None
    surface: NDArray[np.float32] | None
    surface_box: NDArray[np.float32] | None
    guessed: bool


def moved(hit: Hit, box: Array, shown: Array) -> Filled:
    """A hit as it looks at another place.

    Args:
        hit: what is moved.
        box: (4,) where the object is; keypoints and surface follow it.
        shown: (4,) where it may be: the box of the result; the mask is stretched with it.
    """
    found, row = hit.detections, hit.row
    keypoints = mask = surface = surface_box = None
    factor = (box[2:] - box[:2]) / np.maximum(hit.box[2:] - hit.box[:2], 1.0)
    if found.keypoints is not None:
        keypoints = found.keypoints[row].copy()
        keypoints[:, :2] = (keypoints[:, :2] - hit.box[:2]) * factor + box[:2]
    if found.masks is not None:
        mask = _moved_mask(found.masks[row], hit.box, shown)
    if found.surface is not None and found.surface_boxes is not None:
        surface = found.surface[row]
        corners = (found.surface_boxes[row].reshape(2, 2) - hit.box[:2]) * factor + box[:2]
        surface_box = corners.reshape(4).astype(np.float32)
    return Filled(shown, float(found.scores[row]), keypoints, mask, surface, surface_box, guessed=False)


def guessed(hit: Hit, box: Array, shown: Array, size: Array) -> Filled:
    """As `moved`, of a track that is coasting. Arms and legs move on unseen, so that all of `shown` counts to the mask.

    Args:
        hit, box, shown: as of `moved`.
        size: (2,) width and height that the object had lately: the mask is at least so large, for legs part again.
    """
    row = moved(hit, box, shown)
    mask = row.mask
    if mask is not None:
        centre, half = (box[:2] + box[2:]) / 2, size / 2
        low, high = np.minimum(shown[:2], centre - half), np.maximum(shown[2:], centre + half)
        mask = mask | _box_mask(np.concatenate([low, high]).astype(np.float32), *mask.shape)
    return replace(row, mask=mask, guessed=True)


def between(last: Hit, following: Hit, share: float, box: Array, shown: Array) -> Filled:
    """As `moved`, from both sides: `share` in [0, 1] of the way to `following`; the mask is the union of both."""
    near, other = (last, following) if share <= 0.5 else (following, last)
    row, far = moved(near, box, shown), moved(other, box, shown)
    keypoints, mask = row.keypoints, row.mask
    if _alike(keypoints, far.keypoints):
        ends = [hit.detections.keypoints[hit.row] for hit in (last, following)]  # type: ignore[index]
        keypoints = ((1 - share) * ends[0] + share * ends[1]).astype(np.float32)
        keypoints[:, 2] = np.minimum(ends[0][:, 2], ends[1][:, 2])
    if mask is not None and far.mask is not None and mask.shape == far.mask.shape:
        mask = mask | far.mask
    return Filled(shown, min(row.score, far.score), keypoints, mask, row.surface, row.surface_box, guessed=False)


def append(found: Detections, rows: Sequence[Filled], ids: Sequence[int]) -> Detections:
    """`found`, then `rows` as FILLED with track `ids`.

    The optional arrays are those of `found`, so that it loses nothing; if it is empty, those that all rows have. What
    a row lacks is made up: a mask is its box, a surface is background in its box, keypoints have confidence 0.
    """
    if not rows:
        return found
    boxes = np.stack([row.box for row in rows])
    optional: dict[str, NDArray[np.generic]] = {}
    names = {"keypoints": "keypoints", "masks": "mask", "surface": "surface", "surface_boxes": "surface_box"}
    for name, of_row in names.items():
        given = [getattr(row, of_row) for row in rows]
        model = getattr(found, name) if len(found) else _common(given)
        if model is None:
            continue
        shape = model.shape[1:]
        optional[name] = np.stack(
            [
                value if value is not None and value.shape == shape else _made_up(name, box, shape)
                for value, box in zip(given, boxes, strict=True)
            ]
        )
    filled = Detections(
        found.kind,
        boxes.astype(np.float32),
        np.array([row.score for row in rows], np.float32),
        track_ids=np.asarray(ids, np.int64),
        origin=np.full(len(rows), Origin.FILLED, np.uint8),
        **optional,  # type: ignore[arg-type]
    )
    return Detections.concatenate([found, filled])


def _made_up(name: str, box: Array, shape: tuple[int, ...]) -> NDArray[np.generic]:
    if name == "masks":
        return _box_mask(box.astype(np.float32), *shape)
    return box.astype(np.float32) if name == "surface_boxes" else np.zeros(shape, np.float32)


def _common(values: Sequence[NDArray[np.generic] | None]) -> NDArray[np.generic] | None:
    """One row of an array that every filled row has in the same shape, with a first axis; else None."""
    first = values[0]
    if first is None or any(value is None or value.shape != first.shape for value in values):
        return None
    return first[None]


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


def _alike(first: NDArray[np.float32] | None, second: NDArray[np.float32] | None) -> bool:
    return first is not None and second is not None and first.shape == second.shape
