"""Which detection is which track: gated likelihoods, solved as one assignment.

Two stages as in ByteTrack (arXiv 2110.06864): sure detections first, weak ones may only continue what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.geometry.boxes import iou
from dp2.track.motion import Array, Motion, MotionModel, sizes, to_place

Pairs = NDArray[np.int64]  # (P, 2) row of track, row of detection
Mask = NDArray[np.bool_]

_LOG_RANGE = (-8.0, 4.0)  # of the normalising term, so that no pair's cost can pass that of staying alone


@dataclass(frozen=True, slots=True)
class Association:
    """When a detection may be the next of a track.

    Attributes:
        gate: largest distance of centres in standard deviations of the motion model.
        reach: largest distance of centres in object sizes.
        min_iou: a pair that overlaps this much passes whatever the gates say.
        max_ratio: largest quotient of the two sizes.
        weak_reach: as `reach`, for weak detections.
        jump: as `reach`, for the last resort: an object that moves further than the model expects, when nothing
            else is near.
    """

    gate: float = 4.0
    reach: float = 2.5
    min_iou: float = 0.3
    max_ratio: float = 1.8
    weak_reach: float = 0.7
    jump: float = 4.0

    def likely(self, motion: Motion, model: MotionModel, boxes: Array, *, weak: bool = False) -> Pairs:
        """Pairs by likelihood under the predicted motion.

        Args:
            motion: M predicted tracks.
            model: that predicted them.
            boxes: (N, 4) x0 y0 x1 y1 of the detections.
            weak: the detections are weak ones.

        Returns:
            (P, 2) rows of `motion` and `boxes`, each at most once.
        """
        if not len(motion) or not len(boxes):
            return _no_pairs()
        seen = to_place(boxes)
        error = seen[None] - motion.place[:, None]  # (M, N, 4)
        spread = model.innovation(motion)  # (M, 4)
        normal = error**2 / spread[:, None]
        far = np.hypot(error[..., 0], error[..., 1]) / _scale(motion.place, seen)
        inside = normal[..., :2].sum(axis=2) <= self.gate**2
        allowed = inside & (far <= (self.weak_reach if weak else self.reach)) & self._alike(motion.place, seen)
        allowed |= iou(motion.boxes, boxes) >= self.min_iou
        # Negative log of the Gaussian; its log-determinant keeps vague tracks from stealing what fits a sharp one.
        sharpness = 0.5 * np.log(spread / sizes(motion.place)[:, None] ** 2).sum(axis=1)
        cost = 0.5 * np.minimum(normal.sum(axis=2), self.gate**2) + np.clip(sharpness, *_LOG_RANGE)[:, None]
        alone = 0.5 * self.gate**2 + _LOG_RANGE[1] + 1
        return _assign(np.where(allowed, cost - alone, 0.0))

    def jumps(self, motion: Motion, boxes: Array) -> Pairs:
        """Pairs of like size that lie apart but have no rival near; see `likely`."""
        if not len(motion) or not len(boxes):
            return _no_pairs()
        seen = to_place(boxes)
        offset = seen[None, :, :2] - motion.place[:, None, :2]
        far = np.hypot(offset[..., 0], offset[..., 1]) / _scale(motion.place, seen)
        far = np.where(self._alike(motion.place, seen), far, np.inf)
        pairs = _assign(np.where(far <= self.jump, far - self.jump - 1, 0.0))
        keep = [far[t, d] * 2 <= min(_second(far[t]), _second(far[:, d])) for t, d in pairs]
        clear: Pairs = pairs[np.asarray(keep, bool)]
        return clear

    def camera_shift(self, motion: Motion, boxes: Array) -> Array:
        """(2,) pixels by which most tracks have moved together beyond prediction: the camera swung. Else zeros.

        Every pairing of some lost tracks with detections near them proposes a shift; the one that most tracks agree
        with wins, if it explains clearly more of them than no shift does.
        """
        rest = np.zeros(2)
        if len(motion) < 3 or len(boxes) < 3:
            return rest
        seen = to_place(boxes)
        offset = seen[None, :, :2] - motion.place[:, None, :2]  # (M, N, 2)
        scale = np.where(self._alike(motion.place, seen), _scale(motion.place, seen), 1e-9)
        met = _agreeing(offset, scale, rest[None])[0]  # (M,)
        if met.sum() >= 0.7 * min(len(motion), len(boxes)):
            return rest
        near = (np.hypot(offset[..., 0], offset[..., 1]) <= 2 * self.jump * scale) & ~met[:, None]
        proposals = offset[near]
        proposals = proposals[:: len(proposals) // 64 + 1]
        if not len(proposals):
            return rest
        votes = _agreeing(offset, scale, proposals).sum(axis=1)
        winners = proposals[votes == votes.max()]
        if votes.max() < max(3, met.sum() + 2, 0.6 * min(len(motion), len(boxes))):
            return rest
        best: Array = winners[np.hypot(winners[:, 0], winners[:, 1]).argmin()]
        return best

    def _alike(self, tracks: Array, seen: Array) -> Mask:
        quotient = np.abs(np.log(sizes(tracks))[:, None] - np.log(sizes(seen))[None])
        alike: Mask = quotient <= np.log(self.max_ratio)
        return alike


def _agreeing(offset: Array, scale: Array, shifts: Array) -> Mask:
    """(S, M): whether a track has a detection within a third of a size once it is shifted."""
    rest = np.hypot(offset[None, ..., 0] - shifts[:, None, None, 0], offset[None, ..., 1] - shifts[:, None, None, 1])
    return np.asarray((rest <= scale / 3).any(axis=2), np.bool_)


def _scale(tracks: Array, seen: Array) -> Array:
    """(M, N) common size of a track and a detection in pixels."""
    scale: Array = np.sqrt(sizes(tracks)[:, None] * sizes(seen)[None])
    return scale


def _assign(cost: Array) -> Pairs:
    """Pairs of least total cost; only those below 0 count."""
    from scipy.optimize import linear_sum_assignment  # here: it takes longer to import than all of dp2's settings

    rows, columns = linear_sum_assignment(cost)
    taken = cost[rows, columns] < 0
    return np.stack([rows[taken], columns[taken]], axis=1).astype(np.int64)


def _second(distances: Array) -> float:
    return float(np.partition(distances, 1)[1]) if len(distances) > 1 else float("inf")


def _no_pairs() -> Pairs:
    return np.zeros((0, 2), np.int64)
