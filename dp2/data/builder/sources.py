"""The photos and videos that a set is built from."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dp2.errors import UnreadableMedia, UsageError
from dp2.source.folder import kind_of, walk

_PHOTOS_A_PART = 128


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One input file.

    Attributes:
        path: where it lies.
        name: its place in the input, with the input's own name: the same on any machine.
        group: the first folder below the input; the input's own name for files that lie directly in it.
        moving: a video or animation.
    """

    path: Path
    name: str
    group: str
    moving: bool

    @property
    def hashed(self) -> str:
        """Stands for the name in the set. A name that can be guessed can be found by its hash."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def is_validation(self, share: float, seed: int) -> bool:
        """Whether this file's crops are set apart; never changes when other files come or go."""
        return self.drawn(seed) < share * 2**64

    def drawn(self, seed: int) -> int:
        """A number below 2**64 that depends on the name and the seed alone; the lowest are set apart."""
        digest = hashlib.sha256(f"{seed}\0{self.name}".encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big")

    def state(self) -> tuple[str, int, int]:
        """Name, size and time of change: a file that changed is read again."""
        try:
            status = self.path.stat()
        except OSError:
            return self.name, -1, 0
        return self.name, status.st_size, status.st_mtime_ns


def list_sources(inputs: Sequence[Path], skip: Collection[Path]) -> list[SourceFile]:
    """All photos and videos of files and folders, in a fixed order, each once.

    Args:
        inputs: files and folders.
        skip: folders not to enter.

    Raises:
        UsageError: an input does not exist, or there is neither photo nor video.
        UnreadableMedia: a folder cannot be listed.
    """
    found: dict[Path, SourceFile] = {}
    names: set[str] = set()
    for given in inputs:
        for source in _of_input(given, skip, names):
            found.setdefault(source.path.resolve(), source)
        names |= {source.name for source in found.values()}
    if not found:
        raise UsageError(f"{', '.join(map(str, inputs))}: there is neither photo nor video.")
    return list(found.values())


def parts_of(sources: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """What is worked on at once: a run of photos, or one video."""
    photos: list[SourceFile] = []
    for source in sources:
        if not source.moving:
            photos.append(source)
        if photos and (source.moving or len(photos) == _PHOTOS_A_PART):
            yield photos
            photos = []
        if source.moving:
            yield [source]
    if photos:
        yield photos


def _of_input(given: Path, skip: Collection[Path], taken: Collection[str]) -> Iterator[SourceFile]:
    own = given.resolve()
    if given.is_dir():
        for item in walk(given, skip=skip):
            if item.kind == "unreadable":
                raise UnreadableMedia(f"{item.path}: the folder cannot be looked into; check its permissions.")
            if item.kind in ("image", "video", "animation"):
                parts = item.relative.parts
                group = parts[0] if len(parts) > 1 else own.name
                name = _free(f"{own.name}/{item.relative.as_posix()}", taken)
                yield SourceFile(item.path, name, group, item.kind != "image")
        return
    kind = kind_of(given)
    if not given.exists():
        raise UsageError(f"{given}: there is no such file or folder.")
    if kind not in ("image", "video", "animation"):
        raise UsageError(f"{given}: is neither photo nor video.")
    yield SourceFile(given, _free(own.name, taken), own.parent.name, kind != "image")


def _free(name: str, taken: Collection[str]) -> str:
    """Two inputs of one name stay apart."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}#{number}"
    return free
