"""Walks through the elements of Matroska and WebM files (RFC 8794)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MOST = 100_000  # elements in a row


@dataclass(frozen=True, slots=True)
class Element:
    """An element: its identifier, where its data begin, and where they end; None where the writer left that open."""

    identifier: int
    start: int
    end: int | None


def elements(file: BinaryIO, start: int, end: int) -> Iterator[Element]:
    """The elements that begin between two places of a file; ends at one of unknown size and at anything else."""
    for _ in range(_MOST):
        if start >= end:
            return
        file.seek(start)
        identifier = _number(file, keep_marker=True)
        length = _number(file, keep_marker=False)
        if identifier <= 0 or length == _NOTHING:
            return
        begins = file.tell()
        if length == _OPEN:
            yield Element(identifier, begins, None)
            return
        yield Element(identifier, begins, begins + length)
        start = begins + length


def unsigned(file: BinaryIO, element: Element) -> int:
    """The number that an element holds."""
    file.seek(element.start)
    return int.from_bytes(file.read(min(8, (element.end or element.start) - element.start)), "big")


_OPEN, _NOTHING = -1, -2


def _number(file: BinaryIO, *, keep_marker: bool) -> int:
    """A variable-size integer; `_OPEN` if all its bits are set, `_NOTHING` where there is none."""
    lead = file.read(1)
    if not lead or lead[0] == 0:
        return _NOTHING
    octets = 9 - lead[0].bit_length()
    rest = file.read(octets - 1)
    if len(rest) < octets - 1:
        return _NOTHING
    value = int.from_bytes(lead + rest, "big")
    if keep_marker:
        return value
    full = (1 << 7 * octets) - 1
    return _OPEN if value & full == full else value & full
