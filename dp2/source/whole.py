"""Finds out from a container's own sizes whether its file was cut off."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


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
        if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}:
            return _boxes_end(file) > size
        if head[:4] == _EBML.to_bytes(4, "big"):
            return _segment_end(file) > size
        if head[:1] == b"\x47" and path.suffix.lower() in {".ts", ".tsv", ".tsa"}:
            return size % 188 != 0
        if head[:4] == b"GIF8":
            file.seek(max(0, size - 64))
            return b"\x3b" not in file.read()  # some writers pad after the trailer
    return False


def _boxes_end(file: BinaryIO) -> int:
    """Where the last top-level box ends (ISO/IEC 14496-12, 4.2)."""
    end = 0
    while True:
        file.seek(end)
        head = file.read(16)
        if len(head) < 8:
            return end + (8 if head.strip(b"\0") else 0)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file; anything else is no box but padding
            return end
        end += length


def _segment_end(file: BinaryIO) -> int:
    """Where the segment ends, or 0 if its size is unknown (RFC 8794, 4 and 6.2)."""
    position = 0
    while True:
        file.seek(position)
        identifier = _number(file, keep_marker=True)
        start_of_size = position + _octets(identifier)
        file.seek(start_of_size)
        length = _number(file, keep_marker=False)
        if identifier <= 0 or length < 0:
            return 0
        end = file.tell() + length
        if identifier == _SEGMENT:
            return end
        position = end


def _number(file: BinaryIO, *, keep_marker: bool) -> int:
    """A variable-size integer; -1 where there is none or all its bits are set (unknown size)."""
    first = file.read(1)
    if not first or first[0] == 0:
        return -1
    octets = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(octets - 1), "big")
    if keep_marker:
        return value
    value &= (1 << 7 * octets) - 1
    return -1 if value == (1 << 7 * octets) - 1 else value


def _octets(identifier: int) -> int:
    return max(1, (identifier.bit_length() + 7) // 8)
