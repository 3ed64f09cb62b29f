"""Leaves as they are those whom somebody pointed at in stored detections."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dp2.stages import Chooser, StreamChooser, Study
from dp2.types import Choice, Detections, Frame, Region, regions

_Key = tuple[str, bytes]  # kind and box: what a region and its row share


@dataclass(frozen=True, kw_only=True)
class Clicked:
    """A `dp2.stages.Chooser` by row or by track.

    Rows and tracks mean something only in the detections that somebody looked at, so the same ones must be given to
    the anonymizer again, with tracking off. Whoever was not pointed at is left to `others`.

    Attributes:
        rows: (kind, place among the detections of that kind) in a photo.
        tracks: (kind, track id) in a video. Rows without a track are never kept.
        others: decides about the rest; None = the rest is changed.
    """

    rows: frozenset[tuple[str, int]] = frozenset()
    tracks: frozenset[tuple[str, int]] = frozenset()
    others: Chooser | None = None

    def start(self, *, live: bool = False) -> StreamChooser:
        """The chooser of one stream."""
        return _Stream(self, None if self.others is None else self.others.start(live=live))

    def study(self) -> Study | None:
        """Looks twice if the chooser of the others wants to."""
        study = None if self.others is None else self.others.study()
        return None if study is None else _Study(self, study)

    def keys(self, detections: Sequence[Detections]) -> set[_Key]:
        """Of the rows of one frame that were pointed at."""
        return {
            (found.kind, found.boxes[row].tobytes())
            for found in detections
            for row in range(len(found))
            if (found.kind, row) in self.rows
            or (found.track_ids is not None and (found.kind, int(found.track_ids[row])) in self.tracks)
        }


class _Stream:
    def __init__(self, clicked: Clicked, others: StreamChooser | None) -> None:
        self._clicked = clicked
        self._others = others
        self._held: deque[set[_Key]] = deque()

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        self._held.append(self._clicked.keys(detections))
        if self._others is None:
            yield self._kept(Choice(tuple(region for found in detections for region in regions(found))))
            return
        for choice in self._others.update(frame, detections):
            yield self._kept(choice)

    def flush(self) -> Iterator[Choice]:
        if self._others is not None:
            for choice in self._others.flush():
                yield self._kept(choice)

    def _kept(self, choice: Choice) -> Choice:
        keys = self._held.popleft()

        def pointed_at(region: Region) -> bool:
            return (region.kind, region.box.tobytes()) in keys

        change = tuple(region for region in choice.change if not pointed_at(region))
        return Choice(change, (*choice.keep, *filter(pointed_at, choice.change)))


class _Study:
    def __init__(self, clicked: Clicked, others: Study) -> None:
        self._clicked = clicked
        self._others = others

    def observe(self, frame: Frame, detections: Sequence[Detections]) -> None:
        self._others.observe(frame, detections)

    def decide(self) -> StreamChooser:
        return _Stream(self._clicked, self._others.decide())
