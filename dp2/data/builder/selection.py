"""Which of the candidates become samples, and where they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dp2.data.builder.cut import DUPLICATE
from dp2.data.builder.parts import Part, Row
from dp2.data.builder.quality import Duplicates
from dp2.data.builder.settings import BuildSettings
from dp2.data.builder.sources import SourceFile
from dp2.data.crop_shards import TRAIN, VALIDATION


@dataclass(frozen=True, slots=True)
class Chosen:
    """A candidate and where it lies.

    Attributes:
        part: its part.
        row: its place in there.
        split: "train" or "val".
        group: of its source file.
    """

    part: Part
    row: Row
    split: str
    group: str


@dataclass
class Selection:
    """The outcome so far; parts are added in order.

    Of near-duplicates the first stays, over all parts and both splits: nothing in "val" was seen in "train".
    """

    settings: BuildSettings
    kept: list[Chosen] = field(default_factory=list)
    dropped: dict[str, list[Chosen]] = field(default_factory=dict)
    unreadable: list[tuple[SourceFile, str]] = field(default_factory=list)
    pictures: int = 0
    files: int = 0
    _seen: Duplicates = field(init=False)
    _sources: list[SourceFile] = field(init=False, default_factory=list)  # of what was kept

    def __post_init__(self) -> None:
        self._seen = Duplicates(self.settings.max_same)

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.settings.limit is not None and len(self.kept) >= self.settings.limit

    def add(self, part: Part, files: Sequence[SourceFile]) -> None:
        """Judge the candidates of the next part."""
        self.pictures += part.pictures
        self.files += len(files)
        self.unreadable += [(files[number], text) for number, text in part.unreadable.items()]
        for row in part.rows:
            if self.full:
                return
            file = files[row.source]
            apart = file.is_validation(self.settings.validation, self.settings.seed)
            chosen = Chosen(part, row, VALIDATION if apart else TRAIN, file.group)
            reason = row.reason or self._duplicate(row)
            if reason is None:
                self._seen.add(row.fingerprint)
                self.kept.append(chosen)
                self._sources.append(file)
            else:
                self.dropped.setdefault(reason, []).append(chosen)

    def settle(self) -> None:
        """Leave neither split empty, where that can be: of a few files perhaps all were drawn for one.

        The file that was nearest to being drawn for the other goes there with all its crops.
        """
        if self.settings.validation <= 0 or len({file.name for file in self._sources}) < 2:
            return
        for split, nearest in ((VALIDATION, min), (TRAIN, max)):
            if not any(item.split == split for item in self.kept):
                moved = nearest(self._sources, key=lambda file: file.drawn(self.settings.seed)).name
                self.kept = [
                    replace(item, split=split) if file.name == moved else item
                    for item, file in zip(self.kept, self._sources, strict=True)
                ]

    def counts(self) -> dict[str, int]:
        """How many crops were dropped, by reason."""
        return {reason: len(rows) for reason, rows in sorted(self.dropped.items())}

    def groups(self, split: str) -> dict[str, int]:
        """How many crops of a split were kept, by group."""
        return dict(sorted(Counter(item.group for item in self.kept if item.split == split).items()))

    def _duplicate(self, row: Row) -> str | None:
        return None if self._seen.find(row.fingerprint) is None else DUPLICATE
