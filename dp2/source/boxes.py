"""Walks through the boxes of ISO media files (ISO/IEC 14496-12, 4.2), whatever sizes they claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

_MOST = 1_000_000  # boxes in a row: a day of fragments of a tenth of a second


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its type, where its contents begin, and where it says that it ends, which may lie behind the file."""

    kind: bytes
    start: int
    end: int


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes that begin between two places of a file; ends at anything that is no box.

    A size of 0, "to the end", gives a box up to `end`.
    """
    for _ in range(_MOST):
        if start + 8 > end:
            return
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        length, begins = int.from_bytes(head[:4], "big"), start + 8
        if length == 1:
            length, begins = int.from_bytes(head[8:16], "big"), start + 16
        if length == 0:
            yield Box(head[4:8], begins, end)
            return
        if start + length < begins:  # padding, not a box
            return
        yield Box(head[4:8], begins, start + length)
        start += length


def inner(file: BinaryIO, box: Box, *path: bytes) -> Iterator[Box]:
    """The boxes at the end of a path of types below a box; a box that leaves its parent ends with it."""
    if not path:
        yield box
        return
    for child in boxes(file, box.start, box.end):
        if child.kind == path[0]:
            yield from inner(file, Box(child.kind, child.start, min(child.end, box.end)), *path[1:])


def first(file: BinaryIO, box: Box, *path: bytes) -> Box | None:
    """The first of `inner`, or None."""
    return next(islice(inner(file, box, *path), 1), None)
