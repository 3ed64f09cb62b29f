"""The headers of Vorbis without comments, which hold names, dates and pictures (Vorbis I specification, 4 and 5)."""

from __future__ import annotations

from dp2.sink.bits import Bits

_MOST = 1 << 16  # entries of a codebook; encoders use some hundreds, and each costs time


def without_comments(private: bytes) -> bytes:
    """The three headers, laced as Matroska and FFmpeg keep them, with an empty comment header.

    Raises:
        ValueError: they are not as they should be.
    """
    identification, _, setup = _parts(private)
    if identification[:7] != b"\x01vorbis" or len(identification) < 30 or setup[:7] != b"\x05vorbis":
        raise ValueError("not the headers of Vorbis")
    channels = identification[11]
    comment = b"\x03vorbis" + bytes(8) + b"\x01"  # no vendor, no comments, framing bit
    parts = [identification[:30], comment, _setup(setup, channels)]
    sizes = b"".join(b"\xff" * (len(part) // 255) + bytes([len(part) % 255]) for part in parts[:2])
    return b"\x02" + sizes + b"".join(parts)


def _parts(private: bytes) -> tuple[bytes, bytes, bytes]:
    """The packets of Xiph lacing, or of FFmpeg's older form with 16-bit lengths."""
    if private[:2] == b"\0\x1e":
        parts = []
        for _ in range(3):
            size = int.from_bytes(private[:2], "big")
            parts.append(private[2 : 2 + size])
            private = private[2 + size :]
        return parts[0], parts[1], parts[2]
    if private[:1] != b"\x02":
        raise ValueError("not three headers")
    sizes, at = [], 1
    for _ in range(2):
        size = 0
        while private[at : at + 1] == b"\xff":
            size, at = size + 255, at + 1
        if at >= len(private):
            raise ValueError("the header ends early")
        sizes.append(size + private[at])
        at += 1
    first, second = at + sizes[0], at + sizes[0] + sizes[1]
    return private[at:first], private[first:second], private[second:]


def _setup(header: bytes, channels: int) -> bytes:
    """The setup header without what may follow it."""
    bits = Bits(header, lowest_first=True)
    bits.skip(7 * 8)
    for _ in range(bits.read(8) + 1):
        _codebook(bits)
    for _ in range(bits.read(6) + 1):
        bits.skip(16)
    for _ in range(bits.read(6) + 1):
        _floor(bits)
    for _ in range(bits.read(6) + 1):
        _residue(bits)
    for _ in range(bits.read(6) + 1):
        _mapping(bits, channels)
    for _ in range(bits.read(6) + 1):
        bits.skip(1 + 16 + 16 + 8)
    if not bits.read(1):
        raise ValueError("the setup header does not end where it should")
    return bits.before()


def _codebook(bits: Bits) -> None:
    if bits.read(24) != 0x564342:
        raise ValueError("no codebook")
    dimensions, entries = bits.read(16), bits.read(24)
    if entries > _MOST:
        raise ValueError("a codebook is too large")
    if bits.read(1):  # lengths in order
        current = 0
        bits.skip(5)
        while current < entries:
            current += bits.read((entries - current).bit_length())  # ends, since each turn reads
    elif bits.read(1):  # sparse
        for _ in range(entries):
            if bits.read(1):
                bits.skip(5)
    else:
        bits.skip(5 * entries)
    kind = bits.read(4)
    if kind:
        bits.skip(64)
        width = bits.read(4) + 1
        bits.skip(1)
        bits.skip(width * (_lattice(entries, dimensions) if kind == 1 else entries * dimensions))


def _lattice(entries: int, dimensions: int) -> int:
    """The largest number whose power is at most `entries` (9.2.3)."""
    if dimensions == 0:
        raise ValueError("a codebook without dimensions")
    number = 0
    while (number + 1) ** min(dimensions, 64) <= entries:
        number += 1
    return number


def _floor(bits: Bits) -> None:
    if bits.read(16) == 0:
        bits.skip(8 + 16 + 16 + 6 + 8)
        bits.skip(8 * (bits.read(4) + 1))
        return
    classes = [bits.read(4) for _ in range(bits.read(5))]
    dimensions = []
    for _ in range(max(classes, default=-1) + 1):
        dimensions.append(bits.read(3) + 1)
        subclasses = bits.read(2)
        if subclasses:
            bits.skip(8)
        bits.skip(8 << subclasses)
    bits.skip(2)
    width = bits.read(4)
    bits.skip(width * sum(dimensions[number] for number in classes))


def _residue(bits: Bits) -> None:
    bits.skip(16 + 24 + 24 + 24)
    classifications = bits.read(6) + 1
    bits.skip(8)
    books = 0
    for _ in range(classifications):
        cascade = bits.read(3)
        if bits.read(1):
            cascade |= bits.read(5) << 3
        books += cascade.bit_count()
    bits.skip(8 * books)


def _mapping(bits: Bits, channels: int) -> None:
    bits.skip(16)
    submaps = bits.read(4) + 1 if bits.read(1) else 1
    if bits.read(1):
        bits.skip(2 * (channels - 1).bit_length() * (bits.read(8) + 1))
    bits.skip(2)
    if submaps > 1:
        bits.skip(4 * channels)
    bits.skip(24 * submaps)
