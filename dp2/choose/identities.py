"""Follows who each track of a stream is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.choose.evidence import NOBODY, Distances, Limits, Piece, settle
from dp2.choose.front import RIVAL
from dp2.geometry.boxes import iou
from dp2.types import Detections, Frame, Image, Origin

_CUT = 28.0  # mean difference of two frames' grey thumbnails, of 255, from which the scene has changed
_THUMBNAIL = (32, 18)
_TOUCH = 0.1  # IoU of two boxes from which the tracker may take one for the other
_GAP = 0.25  # seconds unseen after which a track may go on with somebody else
_JUMP = 0.1  # IoU with its last box below which a track may have jumped
_FORGET = 5.0  # seconds after which a track that is gone does not come back


@dataclass(slots=True, eq=False)
class Trail:
    """One track.

    Attributes:
        piece: what is known since it could last have become somebody else.
        seen: time and box of the last hit.
        touching: it overlaps with another one.
        due: time from which it is to be looked at again.
    """

    piece: Piece
    seen: tuple[float, NDArray[np.float32]]
    touching: bool = False
    due: float = 0.0
    past: list[Piece] = field(default_factory=list)


class Ledger:
    """Who each track is, from faces seen now and then.

    Args:
        people: how many there are on the list.
        limits: of their distances.
        interval: seconds between two looks at a track that is known to be somebody or nobody.
    """

    def __init__(self, people: int, limits: Limits, interval: float) -> None:
        self._people = people
        self._limits = limits
        self._interval = interval
        self._trails: dict[int, Trail] = {}
        self._number = -1
        self._time = 0.0
        self._thumbnail: NDArray[np.int16] | None = None

    def follow(self, frame: Frame, parts: Sequence[Detections]) -> list[tuple[int, int]]:
        """The next frame of the stream.

        Args:
            parts: detections with track ids.

        Returns:
            part and row of the detections that are to be looked at now.
        """
        self._number += 1
        self._time = float(frame.time)
        self._drop_strangers()
        cut = self._cuts(frame.image)
        due = []
        for place, part in enumerate(parts):
            if part.track_ids is None:
                continue
            touching = _touching(part)
            for row, track in enumerate(part.track_ids.tolist()):
                if track < 0:
                    continue
                hit = part.origins[row] != Origin.FILLED
                trail = self._trail(track, part.boxes[row], bool(touching[row]), hit, cut)
                trail.piece.last = self._number
                if hit and self._time >= trail.due - 1e-9:
                    due.append((place, row))
        if cut:
            for trail in self._trails.values():
                if trail.piece.last != self._number:
                    self._break(trail)
        return due

    def note(self, track: int, distances: Distances) -> None:
        """A clear face of a track in this frame, with its distances to everybody on the list."""
        trail = self._trails[track]
        piece = trail.piece
        if piece.count and piece.contradicts(distances, self._limits):
            piece.ended = piece.broken = True
            self._file(trail)
            piece = trail.piece = Piece(track, self._number, self._number, False, piece.elsewhere.copy())
        piece.add(self._number, distances, self._limits)
        undecided = piece.count < self._limits.samples and bool(piece.possible.any())
        trail.due = self._time if undecided else self._time + self._interval

    def settle(self) -> None:
        """Nobody is in two places."""
        settle([piece for trail in self._trails.values() for piece in (*trail.past, trail.piece)], self._limits)

    def person(self, track: int, number: int) -> int:
        """Who a track is in a frame; NOBODY if that is not known."""
        trail = self._trails.get(track)
        return NOBODY if trail is None else _at((*trail.past, trail.piece), number)

    def forget(self, before: int) -> None:
        """Frames before this number are not asked about any more."""
        for track, trail in list(self._trails.items()):
            trail.past = [piece for piece in trail.past if piece.last >= before]
            if trail.piece.last < before and self._time - trail.seen[0] > _FORGET:
                del self._trails[track]

    def _drop_strangers(self) -> None:
        """Nothing is remembered about tracks that are gone and were nobody on the list."""
        for track, trail in list(self._trails.items()):
            if self._time - trail.seen[0] > _FORGET and not trail.past:
                if trail.piece.person == NOBODY:
                    del self._trails[track]
                else:
                    trail.piece.condense()

    def _trail(self, track: int, box: NDArray[np.float32], touching: bool, hit: bool, cut: bool) -> Trail:
        """The trail of a track that is in this frame; broken where it may have become somebody else."""
        trail = self._trails.get(track)
        if trail is None:
            seen = (self._time, box)
            trail = self._trails[track] = Trail(self._piece(track), seen, touching)
            return trail
        lost = hit and (self._time - trail.seen[0] > _GAP or iou(box, trail.seen[1])[0, 0] < _JUMP)
        if cut or lost or touching != trail.touching:
            self._break(trail)
        trail.touching = touching
        if hit:
            trail.seen = (self._time, box)
        return trail

    def _break(self, trail: Trail) -> None:
        """From this frame on it may be somebody else."""
        trail.piece.ended = True
        self._file(trail)
        trail.piece = self._piece(trail.piece.track)
        trail.due = self._time

    def _file(self, trail: Trail) -> None:
        """What is over is remembered only if it was somebody."""
        if trail.piece.person != NOBODY:
            trail.piece.condense()
            trail.past.append(trail.piece)

    def _piece(self, track: int) -> Piece:
        """Begins in this frame, and nothing is known."""
        return Piece(track, self._number, self._number, True, np.zeros(self._people, bool))

    def _cuts(self, image: Image) -> bool:
        """Whether this frame shows another scene than the one before."""
        thinned = image[:: _step(image, 0), :: _step(image, 1)]  # the mean of every pixel would take 2 ms at 720p
        grey = cv2.resize(thinned, _THUMBNAIL, interpolation=cv2.INTER_AREA).mean(axis=2).astype(np.int16)
        before, self._thumbnail = self._thumbnail, grey
        return before is not None and float(np.abs(grey - before).mean()) >= _CUT


def _step(image: Image, axis: int) -> int:
    """Every how many pixels one is looked at: eight or more a side of each pixel of the thumbnail."""
    return max(1, int(image.shape[axis]) // (8 * _THUMBNAIL[1 - axis]))


def _at(pieces: Iterable[Piece], number: int) -> int:
    for piece in pieces:
        start, end = piece.span
        if piece.person != NOBODY and start <= number <= end:
            return piece.person
    return NOBODY


def _touching(part: Detections) -> NDArray[np.bool_]:
    """(N,) bool: which rows that were seen overlap with another one that was, and that is not far less sure."""
    hit = part.origins != Origin.FILLED
    overlap = iou(part.boxes, part.boxes)
    overlap[(part.scores[None] < RIVAL * part.scores[:, None]) | ~hit[None]] = 0
    np.fill_diagonal(overlap, 0)
    touching: NDArray[np.bool_] = (overlap >= _TOUCH).any(axis=1) & hit
    return touching
