"""Several results as one ZIP, made while it is sent: it lies nowhere, and takes no more memory than a piece of it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

_PIECE = 1 << 20  # bytes
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')  # what no system takes in a name, or takes for a folder


def zipped(results: Sequence[tuple[Path, str]]) -> Iterator[bytes]:
    """The bytes of a ZIP of files and the names that they get in it.

    Photos and videos are compressed already, so they are stored. Names that differ in case only count as equal, and get
    a number.

    Raises:
        OSError: a file was deleted meanwhile.
    """
    drain = _Drain()
    taken: set[str] = set()
    with zipfile.ZipFile(drain, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path, wanted in results:
            entry = zipfile.ZipInfo(_free(wanted, taken))
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while piece := source.read(_PIECE):
                    target.write(piece)
                    yield drain.drawn()
            yield drain.drawn()
    yield drain.drawn()


class _Drain(io.RawIOBase):
    """Takes what is written until somebody draws it; cannot go back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        self._pieces.append(bytes(piece))
        return len(piece)

    def drawn(self) -> bytes:
        """All since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _free(wanted: str, taken: set[str]) -> str:
    """A name without folders that is not taken yet; takes it."""
    clean = PurePosixPath(_UNSAFE.sub("_", wanted).lstrip(". ") or "result")
    name, number = str(clean), 2
    while name.casefold() in taken:
        name, number = f"{clean.stem} ({number}){clean.suffix}", number + 1
    taken.add(name.casefold())
    return name
