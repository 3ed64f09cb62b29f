"""A face as the hits of its track around a frame show it together: without the jitter of single detections.

A generator that is told of each frame's own box and landmarks paints a face that trembles, and one whose criteria meet
each frame's own score paints now and blurs then. Both look at this instead.
"""

from __future__ import annotations

from bisect import bisect, bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.track.filled import Hit
from dp2.track.gaps import Moment, touches_border
from dp2.track.motion import Array
from dp2.types import FACE, Detections, Origin

_WINDOW = 0.5  # seconds before and after a frame
_TICK = 1e-6  # as in `dp2.track.gaps`
_RIGID = (FACE,)  # kinds whose keypoints move together; arms and legs do not
_LEAST = 1e-3  # weight of a hit, whatever its score
# Seconds between two hits up to which a face was there and only missed. Beyond, and after the last hit, it has mostly
# turned away or somebody stands before it, and a face painted there would look out of his coat.
_MISS = 0.2


@dataclass(frozen=True, slots=True)
class Steadying:
    """How rows are steadied.

    Attributes:
        spread: standard deviation, in seconds, of the Gaussian with which hits count; 0 = rows stay as they are.
    """

    spread: float

    def __call__(self, found: Detections, tracks: Mapping[int, Sequence[Hit]], at: Moment) -> Detections:
        """The finished rows of one frame with `steady`, where their kind has keypoints and is rigid.

        Args:
            found: with track ids.
            tracks: hits by track id, in order of time.
            at: the frame.
        """
        if self.spread <= 0 or found.kind not in _RIGID or found.keypoints is None or found.track_ids is None:
            return found
        boxes, scores, keypoints = found.boxes.copy(), found.scores.copy(), found.keypoints.copy()
        for row, track in enumerate(found.track_ids.tolist()):
            hits = tracks.get(track, ())
            if found.origins[row] == Origin.FILLED and not _missed(hits, found.boxes[row], at):
                scores[row] = 0.0
                continue
            last = min(max(at.time, hits[0].time), hits[-1].time) if hits else at.time
            near = _near(hits, last, found.keypoints.shape[1:])
            if near:
                scores[row], line = self._smooth(near, last)
                if last != at.time:  # beyond the hits: as there, where the row has moved to
                    end = near[-1] if last < at.time else near[0]
                    shift = (found.keypoints[row, :, :2] - _points(end)).mean(axis=0)
                    line = line + np.tile(shift, len(line) // 2)
                boxes[row] = np.concatenate([np.minimum(line[:2], line[2:4]), np.maximum(line[:2], line[2:4])])
                keypoints[row, :, :2] = line[4:].reshape(-1, 2)
        return found.with_(steady=Detections(found.kind, boxes, scores, keypoints=keypoints))

    def _smooth(self, near: Sequence[Hit], time: float) -> tuple[float, Array]:
        """Score and (4 + 2K,) box and keypoints at a time: a mean, and a straight line by weighted least squares.

        Each hit counts by its score, so that a few weak ones among sure ones move nothing, nor make a face doubtful.
        """
        times = np.array([hit.time for hit in near]) - time
        scores = np.array([hit.detections.scores[hit.row] for hit in near], np.float64)
        values = np.stack([np.concatenate([hit.box, _points(hit).ravel()]) for hit in near])  # (hits, 4 + 2K)
        far = (times / self.spread) ** 2
        weights = np.maximum(scores, _LEAST) * np.exp((far.min() - far) / 2)
        weights = weights / weights.sum()
        middle, line = float(weights @ times), np.asarray(weights @ values)
        width = float(weights @ (times - middle) ** 2)
        if width > _TICK**2:
            line = line - middle * ((weights * (times - middle)) @ (values - line) / width)
        return float(weights @ scores), line


def _missed(hits: Sequence[Hit], box: NDArray[np.float32], at: Moment) -> bool:
    """Whether a row without a hit lies between two that are near, or at the border, which cuts it."""
    if touches_border(box.astype(np.float64), at.height, at.width):
        return True
    split = bisect(hits, at.number, key=lambda hit: hit.number)
    return 0 < split < len(hits) and hits[split].time - hits[split - 1].time <= _MISS + _TICK


def _near(hits: Sequence[Hit], time: float, shape: tuple[int, ...]) -> Sequence[Hit]:
    """The hits around a time that have keypoints of this shape."""
    first = bisect_left(hits, time - _WINDOW - _TICK, key=lambda hit: hit.time)
    last = bisect_right(hits, time + _WINDOW + _TICK, key=lambda hit: hit.time)
    return [hit for hit in hits[first:last] if _has_keypoints(hit, shape)]


def _has_keypoints(hit: Hit, shape: tuple[int, ...]) -> bool:
    points = hit.detections.keypoints
    return points is not None and points.shape[1:] == shape and bool((points[hit.row, :, 2] > 0).any())


def _points(hit: Hit) -> NDArray[np.float64]:
    """(K, 2) of a hit that has keypoints."""
    points = hit.detections.keypoints
    return np.zeros((0, 2)) if points is None else points[hit.row, :, :2].astype(np.float64)
