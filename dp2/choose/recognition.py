"""Who is left as he is because of his face: people on a list, or everybody who is surely not on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dp2.choose.evidence import NOBODY, Distances, Limits, Piece, settle
from dp2.choose.identities import Ledger
from dp2.choose.matching import Matching, clear_faces, embed
from dp2.choose.people import People, load_people
from dp2.errors import UsageError
from dp2.types import FACE, PERSON, PERSON_SURFACE, Detections, Frame

KINDS = (FACE, PERSON, PERSON_SURFACE)  # that have faces
_LARGEST = 2.0  # distance of opposite embeddings


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """The list, read when it is built.

    Attributes:
        matching: how faces are compared.
        keep: reference pictures and folders of people who are left as they are, see `dp2.choose.people.load_people`.
        only: of the only people who are changed. A face that is not clear enough to tell is changed too.

    Raises:
        UsageError: both or none are given, or a reference picture cannot serve.
        MediaError: a reference picture cannot be read.
        MissingWeights: the embedding's checkpoint is not here.
    """

    matching: Matching
    keep: Sequence[str | os.PathLike[str]] = ()
    only: Sequence[str | os.PathLike[str]] = ()
    people: People = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if bool(self.keep) == bool(self.only):
            raise UsageError("give people either to keep or as the only ones to change.")
        object.__setattr__(self, "people", load_people(self.keep or self.only, self.matching))

    def ledger(self) -> Ledger:
        """For a stream."""
        return Ledger(self._columns, self._limits(self.matching.samples), self.matching.interval)

    def note(self, ledger: Ledger, frame: Frame, parts: Sequence[Detections]) -> None:
        """Enter a frame of a stream into its ledger.

        Args:
            parts: with track ids, of `KINDS`.
        """
        due = ledger.follow(frame, parts)
        for place, part in enumerate(parts):
            rows = [row for of_part, row in due if of_part == place]
            found = self._distances(frame, part, rows)
            if part.track_ids is not None:
                for row, distances in found.items():
                    ledger.note(int(part.track_ids[row]), distances)
        ledger.settle()

    def single(self, frame: Frame, parts: Sequence[Detections]) -> list[NDArray[np.bool_]]:
        """For a picture by itself: for each part (N,) bool, the rows that are left as they are."""
        limits = self._limits(1)
        pieces: dict[tuple[int, int], Piece] = {}
        for place, part in enumerate(parts):
            for row, distances in self._distances(frame, part, range(len(part))).items():
                piece = Piece(len(pieces), 0, 0, True, np.zeros(self._columns, bool))
                piece.add(0, distances, limits)
                pieces[place, row] = piece
        settle(list(pieces.values()), limits)
        kept = [np.zeros(len(part), bool) for part in parts]
        for (place, row), piece in pieces.items():
            kept[place][row] = piece.person != NOBODY
        return kept

    @property
    def _columns(self) -> int:
        return len(self.people.persons) if self.keep else 1

    def _limits(self, samples: int) -> Limits:
        matching = self.matching
        near, far = matching.distance, matching.veto
        if self.only:
            near, far = _LARGEST - far, _LARGEST - near
        return Limits(near, far, samples, matching.margin, exclusive=bool(self.keep))

    def _distances(self, frame: Frame, part: Detections, rows: Sequence[int]) -> dict[int, Distances]:
        """Of the clear faces among some rows: (P,) to each person; of `only` (1,), near = nobody on the list."""
        faces = clear_faces(self.matching, frame.image, part, rows)
        if not faces:
            return {}
        found = self.people.distances(embed(self.matching, frame.image, faces))
        given = found if self.keep else [_LARGEST - distances.min(keepdims=True) for distances in found]
        return {face.row: distances for face, distances in zip(faces, given, strict=True)}
