"""Finds out from a container's own sizes whether its file was cut off."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from dp2.source.boxes import boxes
from dp2.source.ebml import elements

_EBML, SEGMENT = 0x1A45DFA3, 0x18538067


def is_cut_off(path: Path) -> bool:
    """Whether a file ends before the place where its container says that it ends.

    Understands ISO media (MP4, MOV: sizes of top-level boxes), Matroska (size of the segment), RIFF (AVI, WebP),
    MPEG-TS (whole packets) and GIF (trailer). False for others and for sizes that the writer left open.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > size
        if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"jP  "}:
            return _boxes_end(file, size) > size
        if head[:4] == _EBML.to_bytes(4, "big"):
            return _segment_end(file, size) > size
        if head[:1] == b"\x47" and path.suffix.lower() in {".ts", ".tsv", ".tsa"}:
            return size % 188 != 0
        if head[:4] == b"GIF8":
            file.seek(max(0, size - 64))
            return b"\x3b" not in file.read()  # some writers pad after the trailer
    return False


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level box ends, or where something begins that is no box."""
    end = 0
    for box in boxes(file, 0, size):
        end = box.end
    if end >= size:
        return end
    file.seek(end)
    rest = file.read(8)
    return end + 8 if len(rest) < 8 and rest.strip(b"\0") else end  # part of a header


def _segment_end(file: BinaryIO, size: int) -> int:
    """Where the segment ends, or 0 if its size is unknown."""
    segment = next((element for element in elements(file, 0, size) if element.identifier == SEGMENT), None)
    return 0 if segment is None or segment.end is None else segment.end
