"""What is known about who a track is: likenesses over time, in pieces without contradiction. No embedding is kept."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float32]  # (P,) to each person

NOBODY = -1
_REMEMBERED = 64  # samples of a piece; beyond, every second is dropped
_TRIM = 0.25  # of the samples, at either end, do not count in the mean
_RECENT = 3  # samples in a row that must not all be doubtful


@dataclass(frozen=True, slots=True)
class Limits:
    """Of distances.

    Attributes:
        near: up to this mean distance a piece is somebody.
        far: a single sample beyond this distance contradicts it.
        samples: needed before a piece is anybody.
        margin: see `dp2.choose.matching.Matching`.
        exclusive: nobody can be in two places.
    """

    near: float
    far: float
    samples: int
    margin: float
    exclusive: bool

    @property
    def doubtful(self) -> float:
        """Who was somebody stays so up to this mean distance: one who is just at the limit does not flicker."""
        return (self.near + self.far) / 2


@dataclass(slots=True, eq=False)
class Piece:
    """A part of a track in which nothing speaks against its being one and the same person.

    Attributes:
        track: its id.
        first, last: numbers of the frames that it covers.
        whole: it begins where it could first be followed, not because a face before it was somebody else's.
        ended: it is over; `broken`: because a face contradicted it, not because the track could not be followed.
        count: number of clear faces.
        first_sure, last_sure: frames of the first and the last one that is not doubtful.
        samples: every `stride`-th of their distances.
        recent: the last ones.
        elsewhere: (P,) bool: who is known to be another track.
        possible: (P,) bool: who it can still be.
        person: who it is; NOBODY = not known.
    """

    track: int
    first: int
    last: int
    whole: bool
    elsewhere: NDArray[np.bool_]
    possible: NDArray[np.bool_] = field(init=False)
    person: int = NOBODY
    ended: bool = False
    broken: bool = False
    count: int = 0
    first_sure: int = -1
    last_sure: int = -1
    samples: list[Distances] = field(default_factory=list)
    recent: deque[Distances] = field(default_factory=lambda: deque(maxlen=_RECENT))
    stride: int = 1

    def __post_init__(self) -> None:
        self.possible = ~self.elsewhere

    @property
    def span(self) -> tuple[int, int]:
        """First and last frame that its person is vouched for: up to the last clear face where it was contradicted."""
        start = self.first if self.whole else self.first_sure
        return start, self.last_sure if self.broken else self.last

    def contradicts(self, distances: Distances, limits: Limits) -> bool:
        """Whether nobody whom this piece can be looks like this, or like this and the faces before it together."""
        if (distances[self.possible] > limits.far).all():
            return True
        if len(self.recent) < _RECENT - 1:
            return False
        together = np.mean([*list(self.recent)[1 - _RECENT :], distances], axis=0)
        return bool((together[self.possible] > limits.doubtful).all())

    def add(self, number: int, distances: Distances, limits: Limits) -> None:
        """A clear face in frame `number`."""
        if (distances[self.possible] <= limits.doubtful).any():
            self.first_sure = number if self.first_sure < 0 else self.first_sure
            self.last_sure = number
        if self.count % self.stride == 0:
            self.samples.append(distances)
        self.count += 1
        if len(self.samples) > _REMEMBERED:
            self.samples = self.samples[::2]
            self.stride *= 2
        self.recent.append(distances)
        self.possible &= distances <= limits.far
        if len(self.recent) == _RECENT:
            self.possible &= np.mean(self.recent, axis=0) <= limits.doubtful
        self.decide(limits)

    def decide(self, limits: Limits) -> None:
        """Who it is, as far as known now."""
        was, self.person = self.person, NOBODY
        if self.count < limits.samples or not self.possible.any():
            return
        means = np.where(self.possible, self.mean(), np.inf)
        best = int(means.argmin())
        if means[best] <= limits.near or (best == was and means[best] <= limits.doubtful):
            self.person = best

    def mean(self) -> Distances:
        """(P,) means without the lowest and highest quarter."""
        ordered = np.sort(np.stack(self.samples), axis=0)
        cut = int(_TRIM * len(ordered))
        means: Distances = ordered[cut : len(ordered) - cut].mean(axis=0)
        return means

    def condense(self) -> None:
        """It is over: of its samples only their mean is remembered."""
        self.samples, self.ended = [self.mean()], True
        self.recent.clear()

    def is_not(self, person: int, limits: Limits) -> None:
        """It cannot be this person, who is elsewhere."""
        self.possible[person] = False
        self.elsewhere[person] = True
        self.decide(limits)


def settle(pieces: list[Piece], limits: Limits) -> None:
    """Where several tracks are one person at the same time, at most the clearly nearest one is.

    Args:
        pieces: of all tracks.
    """
    if not limits.exclusive:
        return
    again = True
    while again:  # who loses one person may be another
        again = False
        for person in {piece.person for piece in pieces} - {NOBODY}:
            rivals = sorted((p for p in pieces if p.person == person), key=lambda p: (p.mean()[person], p.track))
            lost = [piece for place, piece in enumerate(rivals) if _loses(piece, place, rivals, person, limits)]
            for piece in lost:
                piece.is_not(person, limits)
            again = again or bool(lost)


def _loses(piece: Piece, place: int, rivals: list[Piece], person: int, limits: Limits) -> bool:
    own = piece.mean()[person]
    for other_place, other in enumerate(rivals):
        if other is piece or other.track == piece.track or not _meet(piece, other):
            continue
        if other_place < place or other.mean()[person] - own < limits.margin:
            return True
    return False


def _meet(piece: Piece, other: Piece) -> bool:
    """Whether some frame is vouched for by both."""
    (start, end), (other_start, other_end) = piece.span, other.span
    return max(start, other_start) <= min(end, other_end)
