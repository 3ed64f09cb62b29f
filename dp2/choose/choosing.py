"""The choosing stage: rules of place, kind and size, and a list of people, for pictures, streams and files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dp2.choose.evidence import NOBODY
from dp2.choose.front import behind_kept
from dp2.choose.identities import Ledger
from dp2.choose.recognition import KINDS, Recognition
from dp2.choose.rules import Rules
from dp2.types import FACE, Choice, Detections, Frame, Origin, Region, regions

_LOOK_AHEAD = 0.4  # seconds a stream that is not live is held back, so that a face is known when it is first shown
_MAX_HELD = 24  # frames, however many come a second
Kept = list[NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """A `dp2.stages.Chooser`: what the rules or the list leave untouched is left as it is.

    Attributes:
        rules: see `Rules`.
        people: see `Recognition`; None = nobody is known.
    """

    rules: Rules = field(default_factory=Rules)
    people: Recognition | None = None

    def start(self, *, live: bool = False) -> StreamChoosing:
        """For one stream or picture."""
        return StreamChoosing(self, look_ahead=0.0 if live or self.people is None else _LOOK_AHEAD)

    def study(self) -> FileStudy | None:
        """For a file that is read twice; None if nobody has to be recognised."""
        return None if self.people is None else FileStudy(self)

    def choice(self, frame: Frame, parts: Sequence[Detections], known: Kept) -> Choice:
        """The regions of a frame, sorted.

        Args:
            known: for each part (N,) bool, who is left as he is because of his face.
        """
        height, width = frame.image.shape[:2]
        change: list[Region] = self.rules.regions(height, width)
        keep: list[Region] = []
        front: list[Region] = []
        for part, own in zip(parts, known, strict=True):
            left = own | self.rules.untouched(part, height, width)
            for region, stays in zip(regions(part), left, strict=True):
                (keep if stays else change).append(region)
            if part.kind == FACE:
                front += regions(part[own & (part.origins == Origin.DETECTED)])
        return Choice(tuple(behind_kept(change, front)), tuple(keep))


class StreamChoosing:
    """Decides frame by frame from what has been seen up to `look_ahead` seconds later."""

    def __init__(self, settings: Choosing, look_ahead: float) -> None:
        self._settings = settings
        self._look_ahead = look_ahead
        self._ledger = None if settings.people is None else settings.people.ledger()
        self._held: deque[tuple[int, Frame, Sequence[Detections]]] = deque()
        self._fed = 0

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        """See `dp2.stages.StreamChooser`."""
        if self._ledger is not None and self._settings.people is not None:
            self._settings.people.note(self._ledger, frame, _with_faces(detections))
        self._held.append((self._fed, frame, detections))
        self._fed += 1
        while self._held and (
            len(self._held) > _MAX_HELD or float(frame.time - self._held[0][1].time) >= self._look_ahead - 1e-9
        ):
            yield self._release()

    def flush(self) -> Iterator[Choice]:
        """See `dp2.stages.StreamChooser`."""
        while self._held:
            yield self._release()

    def _release(self) -> Choice:
        number, frame, parts = self._held.popleft()
        choice = self._settings.choice(frame, parts, known_in(self._settings, self._ledger, number, frame, parts))
        if self._ledger is not None:
            self._ledger.forget(number)
        return choice


class FileStudy:
    """Sees a whole file; decides about each track by all of it. Keeps a few numbers a track, and no embedding."""

    def __init__(self, settings: Choosing) -> None:
        if settings.people is None:
            raise ValueError("there is nobody to be recognised")
        self._settings = settings
        self._people = settings.people
        self._ledger = settings.people.ledger()

    def observe(self, frame: Frame, detections: Sequence[Detections]) -> None:
        """See `dp2.stages.Study`."""
        self._people.note(self._ledger, frame, _with_faces(detections))

    def decide(self) -> DecidedChoosing:
        """See `dp2.stages.Study`."""
        return DecidedChoosing(self._settings, self._ledger)


class DecidedChoosing:
    """Looks up what a study has found out."""

    def __init__(self, settings: Choosing, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._fed = 0

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        """See `dp2.stages.StreamChooser`."""
        known = known_in(self._settings, self._ledger, self._fed, frame, detections)
        self._fed += 1
        yield self._settings.choice(frame, detections, known)

    def flush(self) -> Iterator[Choice]:
        """See `dp2.stages.StreamChooser`."""
        return iter(())


def known_in(settings: Choosing, ledger: Ledger | None, number: int, frame: Frame, parts: Sequence[Detections]) -> Kept:
    """For each part (N,) bool: who is left as he is because of his face; without tracks, by this frame alone."""
    kept = [np.zeros(len(part), bool) for part in parts]
    if settings.people is None or ledger is None:
        return kept
    own = [place for place, part in enumerate(parts) if part.kind in KINDS]
    if not _tracked(parts):
        for place, found in zip(own, settings.people.single(frame, [parts[place] for place in own]), strict=True):
            kept[place] = found
        return kept
    for place in own:
        ids = parts[place].track_ids
        if ids is not None:
            known = [track >= 0 and ledger.person(track, number) != NOBODY for track in ids.tolist()]
            kept[place] = np.array(known, bool)
    return kept


def _with_faces(parts: Sequence[Detections]) -> list[Detections]:
    return [part for part in parts if part.kind in KINDS]


def _tracked(parts: Sequence[Detections]) -> bool:
    """Whether a tracker, or a file, tells which detections of a stream belong together."""
    return any(part.track_ids is not None for part in parts if len(part))
