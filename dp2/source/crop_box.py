"""Finds the part of an AVIF picture that is shown: its clean aperture, which Pillow's decoder leaves to the caller."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

from dp2.errors import UnreadableMedia

_MOST_BOXES = 10_000  # a picture of tiles has some hundred
_META, _MOVIE = b"meta", b"moov"
_VISUAL_SAMPLE_ENTRY = 78  # bytes before the boxes inside (ISO/IEC 14496-12, 12.1.3)

Corners = tuple[int, int, int, int]  # left, upper, right, lower, in pixels, half-open


def crop_box(data: bytes, size: tuple[int, int]) -> Corners | None:
    """Where the clean aperture of an AVIF file lies in the decoded picture, before it is turned or mirrored.

    A viewer applies `clap` first, then `irot`, then `imir` (ISO/IEC 23000-22, 7.3.6.7). Edges between pixels go to
    the nearest pixel. What lies outside the picture does not count.

    Args:
        data: the whole file.
        size: (width, height) of the decoded picture.

    Returns:
        None where the whole picture is shown.

    Raises:
        UnreadableMedia: the aperture is malformed or shows nothing of the picture. Viewers differ on what such a file
            shows. The message does not name the file.
    """
    aperture = _of_track(data) if data[8:12] == b"avis" else None
    if aperture is None:
        aperture = _of_primary_item(data)
    if aperture is None:
        return None
    if len(aperture) < 32:
        raise UnreadableMedia("its crop box (clap) is damaged")
    left, right = _edges(size[0], *struct.unpack_from(">IIxxxxxxxxiI", aperture))
    upper, lower = _edges(size[1], *struct.unpack_from(">IIxxxxxxxxiI", aperture, 8))
    if (left, upper, right, lower) == (0, 0, *size):
        return None
    return left, upper, right, lower


def _edges(whole: int, length: int, length_under: int, offset: int, offset_under: int) -> tuple[int, int]:
    """First and last edge along one side (ISO/IEC 14496-12, 12.1.4.1): the offset is from centre to centre."""
    if not (length and length_under and offset_under):
        raise UnreadableMedia("its crop box (clap) is damaged")
    centre = Fraction(whole, 2) + Fraction(offset, offset_under)
    half = Fraction(length, length_under) / 2
    first, last = max(0, _nearest(centre - half)), min(whole, _nearest(centre + half))
    if first >= last:
        raise UnreadableMedia("its crop box (clap) lies outside the picture")
    return first, last


def _nearest(number: Fraction) -> int:
    return (2 * number.numerator + number.denominator) // (2 * number.denominator)


def _of_primary_item(data: bytes) -> bytes | None:
    """The payload of the `clap` property of the primary item (ISO/IEC 23008-12, 9.3)."""
    meta = _first(data, _META, 0, len(data))
    if meta is None:
        return None
    start, end = meta[0] + 4, meta[1]
    primary, properties = _first(data, b"pitm", start, end), _first(data, b"iprp", start, end)
    if primary is None or properties is None:
        return None
    wide = data[primary[0]] > 0
    item = int.from_bytes(data[primary[0] + 4 : primary[0] + (8 if wide else 6)], "big")
    container = _first(data, b"ipco", *properties)
    if container is None:
        return None
    known = list(_boxes(data, *container))
    for kind, first, last in _boxes(data, *properties):
        if kind == b"ipma":
            for index in _associated(data[first:last], item):
                if 0 < index <= len(known) and known[index - 1][0] == b"clap":
                    return data[known[index - 1][1] : known[index - 1][2]]
    return None


def _associated(ipma: bytes, wanted: int) -> Iterator[int]:
    """The numbers of an item's properties, from 1."""
    version, large = ipma[0], bool(ipma[3] & 1)
    width = 2 if version < 1 else 4
    at = 8
    for _ in range(min(int.from_bytes(ipma[4:8], "big"), len(ipma))):
        item, count = int.from_bytes(ipma[at : at + width], "big"), int.from_bytes(ipma[at + width : at + width + 1])
        at += width + 1
        step = 2 if large else 1
        if item == wanted:
            for place in range(at, at + count * step, step):
                yield int.from_bytes(ipma[place : place + step], "big") & (0x7FFF if large else 0x7F)
        at += count * step


def _of_track(data: bytes) -> bytes | None:
    """The payload of the `clap` box of the first picture track's sample entry; a file of brand `avis` is read so."""
    movie = _first(data, _MOVIE, 0, len(data))
    for kind, start, end in _boxes(data, *movie) if movie is not None else ():
        if kind != b"trak":
            continue
        place: tuple[int, int] | None = (start, end)
        for inner in (b"mdia", b"minf", b"stbl", b"stsd"):
            place = _first(data, inner, *place) if place is not None else None
        entry = _first(data, b"av01", place[0] + 8, place[1]) if place is not None else None
        if entry is not None:
            found = _first(data, b"clap", entry[0] + _VISUAL_SAMPLE_ENTRY, entry[1])
            return None if found is None else data[found[0] : found[1]]
    return None


def _first(data: bytes, wanted: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Where the payload of the first box of a kind begins and ends."""
    return next(((first, last) for kind, first, last in _boxes(data, start, end) if kind == wanted), None)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of the payload of each box (ISO/IEC 14496-12, 4.2)."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        length, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        last = end if length == 0 else start + length
        if last < start + head or last > end:
            return
        yield kind, start + head, last
        start = last
