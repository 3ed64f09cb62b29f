"""The tracks of one kind: matched frame by frame, remembered as long as they can matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dp2.geometry.boxes import iou
from dp2.track.association import Association, Pairs
from dp2.track.filled import Hit
from dp2.track.gaps import Moment
from dp2.track.motion import Motion, MotionModel
from dp2.types import Detections, Origin

Rows = NDArray[np.int64]

_KNOWN = 5  # hits from which a track's speed is known


@dataclass(slots=True, eq=False)
class Track:
    """One object over time: its id and its hits, oldest first."""

    id: int
    hits: list[Hit]


@dataclass(slots=True, eq=False)
class Seen:
    """The detections of a frame that is still held back, and which track each row is: -1 = none (yet)."""

    at: Moment
    detections: Detections
    ids: NDArray[np.int64]

    def hit(self, row: int) -> Hit:
        """A row as a hit."""
        box = self.detections.boxes[row].astype(np.float64)
        return Hit(self.at.number, self.at.time, box, self.detections, row)


@dataclass(slots=True, eq=False)
class Lane:
    """Tracks of one kind in one stream.

    Attributes:
        association, model: how detections are matched.
        memory: seconds after which a lost track is given up; one frame without it is always forgiven.
        max_gap: seconds over which weak detections may continue a track.
        ids: next free ids, shared by all lanes of the stream.
        tracks: in the order of `motion`.
    """

    association: Association
    model: MotionModel
    memory: float
    max_gap: float
    ids: Iterator[int]
    tracks: list[Track] = field(default_factory=list)
    motion: Motion = field(default_factory=lambda: Motion(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 4, 3))))

    def step(self, at: Moment, elapsed: float, detections: Detections, held: Sequence[Seen]) -> Seen:
        """Take in the next frame.

        Args:
            at: the frame.
            elapsed: seconds since the frame before.
            detections: in it.
            held: this kind's earlier frames that are not yet released, oldest first; weak rows there are given to
                tracks that begin now.
        """
        boxes = detections.boxes.astype(np.float64)
        sure = detections.origins != Origin.WEAK
        seen = Seen(at, detections, np.full(len(boxes), -1, np.int64))
        self.motion = self.model.predict(self.motion, elapsed)
        free = self._where(at, self.memory)
        self._follow_camera(free, boxes[sure], elapsed)

        unseen = np.flatnonzero(sure)
        pairs = self.association.likely(self.motion[free], self.model, boxes[unseen])
        free, unseen = self._take(pairs, free, unseen, seen)

        weak = np.flatnonzero(~sure)
        recent = np.intersect1d(free, self._where(at, self.max_gap), assume_unique=True)
        weak_pairs = self.association.likely(self.motion[recent], self.model, boxes[weak], weak=True)
        left, _ = self._take(weak_pairs, recent, weak, seen)
        free = _without(free, _without(recent, left))

        fresh = np.intersect1d(free, self._where(at, 0.0), assume_unique=True)
        if len(pairs):  # somebody is where expected, so the camera stood still: only unknown speeds explain a jump
            fresh = fresh[[len(self.tracks[row].hits) < _KNOWN for row in fresh]]
        jumps = self.association.jumps(self.motion[fresh], boxes[unseen])
        _, unseen = self._take(jumps, fresh, unseen, seen, restart=True)
        self._begin(unseen, seen, held)
        return seen

    def forget(self, now: Moment, needed_since: float) -> None:
        """Drop tracks that can neither be matched any more nor fill a frame at or after `needed_since` seconds, and
        hits that no longer tell anything."""
        matchable = set(self._where(now, self.memory).tolist())
        kept = [r for r, track in enumerate(self.tracks) if r in matchable or track.hits[-1].time >= needed_since]
        if len(kept) < len(self.tracks):
            self.tracks = [self.tracks[row] for row in kept]
            self.motion = self.motion[np.asarray(kept, np.int64)]
        for track in self.tracks:
            while len(track.hits) > 1 and track.hits[0].time < needed_since:
                del track.hits[0]

    def _where(self, at: Moment, memory: float) -> Rows:
        """Tracks hit within `memory` seconds, or in one of the last two frames."""
        rows = [
            row
            for row, track in enumerate(self.tracks)
            if at.time - track.hits[-1].time <= memory or at.number - track.hits[-1].number <= 2
        ]
        return np.asarray(rows, np.int64)

    def _follow_camera(self, free: Rows, boxes: NDArray[np.float64], elapsed: float) -> None:
        shift = self.association.camera_shift(self.motion[free], boxes)
        if shift.any() and elapsed > 0:
            self.motion.place[:, :2] += shift
            self.motion.speed[:, :2] += shift / elapsed

    def _take(self, pairs: Pairs, free: Rows, unseen: Rows, seen: Seen, restart: bool = False) -> tuple[Rows, Rows]:
        """Note the matches; returns the tracks and detections that are left."""
        if not len(pairs):
            return free, unseen
        rows, columns = free[pairs[:, 0]], unseen[pairs[:, 1]]
        boxes = seen.detections.boxes[columns].astype(np.float64)
        if restart:
            motion = self.model.begin(boxes)
            for new, row in enumerate(rows):
                last = self.tracks[row].hits[-1]
                centre = (last.box[:2] + last.box[2:]) / 2
                motion.speed[new, :2] = (motion.place[new, :2] - centre) / max(seen.at.time - last.time, 1e-3)
        else:
            motion = self.model.correct(self.motion[rows], boxes)
        self.motion.place[rows] = motion.place
        self.motion.speed[rows] = motion.speed
        self.motion.covariance[rows] = motion.covariance
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            seen.ids[column] = self.tracks[row].id
            self.tracks[row].hits.append(seen.hit(column))
        return _without(free, rows), _without(unseen, columns)

    def _begin(self, unseen: Rows, seen: Seen, held: Sequence[Seen]) -> None:
        if not len(unseen):
            return
        for column in unseen.tolist():
            track = Track(next(self.ids), [seen.hit(column)])
            seen.ids[column] = track.id
            self.tracks.append(track)
            self._continue_back(track, held)
        self.motion = self.motion.join(self.model.begin(seen.detections.boxes[unseen].astype(np.float64)))

    def _continue_back(self, track: Track, held: Sequence[Seen]) -> None:
        """A weak detection may continue a track into the past too: a face that turns to the camera is weak first."""
        for earlier in reversed(held):
            if track.hits[0].time - earlier.at.time > self.max_gap:
                return
            rows = np.flatnonzero((earlier.ids < 0) & (earlier.detections.origins == Origin.WEAK))
            if not len(rows):
                continue
            overlap = iou(track.hits[0].box[None], earlier.detections.boxes[rows])[0]
            if overlap.max() >= self.association.min_iou:
                row = int(rows[overlap.argmax()])
                earlier.ids[row] = track.id
                track.hits.insert(0, earlier.hit(row))


def _without(rows: Rows, taken: Rows) -> Rows:
    return np.setdiff1d(rows, taken, assume_unique=True)
