"""Makes a classic TIFF of a BigTIFF in big-endian order, which Pillow announces to read but does not."""

from __future__ import annotations

import io
import struct
from typing import IO

_LONG8, _SLONG8, _IFD8 = 16, 17, 18
_NARROW = {_LONG8: 4, _SLONG8: 9, _IFD8: 13}
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_OTHER_DIRECTORIES = {330, 34665, 34853, 40965}  # are BigTIFF themselves
_MOST_BYTES = 1 << 30
_MOST_TAGS = 1000


def is_big_endian_bigtiff(file: IO[bytes]) -> bool:
    """Whether the file begins as one. It is left at its beginning."""
    head = file.read(4)
    file.seek(0)
    return head == b"MM\0\x2b"


def classic_tiff(file: IO[bytes]) -> IO[bytes]:
    """The same file with a header and a first directory of 32 bits in front of the same data; other pages are lost.

    EXIF and GPS directories do not come along.

    Raises:
        ValueError: larger than 1 GiB.
        struct.error: damaged.
    """
    data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError("a big-endian BigTIFF of more than 1 GiB")
    first = struct.unpack_from(">Q", data, 8)[0]
    count = struct.unpack_from(">Q", data, first)[0]
    if count > _MOST_TAGS:
        raise struct.error("too many tags")
    out = bytearray(data)
    entries = []
    for number in range(count):
        tag, kind, length = struct.unpack_from(">HHQ", data, first + 8 + 20 * number)
        if tag in _OTHER_DIRECTORIES or kind not in _BYTES:
            continue
        size, place = length * _BYTES[kind], first + 8 + 20 * number + 12
        at = place if size <= 8 else struct.unpack_from(">Q", data, place)[0]
        if at + size > len(data):
            raise struct.error("a tag lies outside the file")
        values = data[at : at + size]
        if kind in _NARROW:
            values = struct.pack(f">{length}{'i' if kind == _SLONG8 else 'I'}", *_unpacked(kind, length, values))
            kind = _NARROW[kind]
        if len(values) > 4:
            where = len(out)
            out += values + bytes(len(values) % 2)
            values = struct.pack(">I", where)
        entries.append(struct.pack(">HHI", tag, kind, length) + values.ljust(4, b"\0"))
    out += bytes(len(out) % 2)
    out[:8] = b"MM\0*" + struct.pack(">I", len(out))
    return io.BytesIO(bytes(out) + struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4))


def _unpacked(kind: int, length: int, values: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{length}{'q' if kind == _SLONG8 else 'Q'}", values)
