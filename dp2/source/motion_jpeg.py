"""Tells a video of JPEG pictures, one after the other, from a photo: both begin alike."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

_SOI, _EOI, _TEM = b"\xff\xd8\xff", 0xD9, 0x01
_MARKER = re.compile(rb"\xff+([^\0\xd0-\xd7\xff])", re.DOTALL)  # in entropy-coded data: not stuffing, not a restart
_MARKERS = 100_000  # of one picture


def is_motion_jpeg(path: Path) -> bool:
    """Whether a file begins with two JPEG pictures back to back. False if it cannot be read.

    Photos of several pictures (MPF) do so too, so that the name has to say video as well.
    """
    try:
        with path.open("rb") as file:
            if file.read(3) != _SOI:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                end = _end(data)
                return end is not None and data[end : end + 3] == _SOI
    except (OSError, ValueError):
        return False


def _end(data: mmap.mmap) -> int | None:
    """Where the first picture ends (ITU-T T.81, annex B)."""
    at = 2
    for _ in range(_MARKERS):
        found = _MARKER.search(data, at)
        if found is None:
            return None
        at, marker = found.end(), data[found.end() - 1]
        if marker == _EOI:
            return at
        if marker != _TEM:
            at += int.from_bytes(data[at : at + 2], "big")
    return None
