"""Frames of MPEG audio, and what lies between and behind their sound (ISO/IEC 11172-3 and 13818-3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from dp2.sink.bits import Bits

T = TypeVar("T")

_MOST_HELD = 64  # packets; even at 8 kbit/s fewer have 511 bytes of main data

# Kilobits a second by version (MPEG 1, others), layer and index; samples a second by index of MPEG 1.
_RATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLES = (44_100, 48_000, 32_000)


def frames_only(data: bytes) -> bytes:
    """The frames of MPEG audio, layers 1 to 3; ID3 and APE tags are none. Xing's and LAME's frame of numbers and names
    becomes a frame of silence, as which it is decoded."""
    frames = bytearray()
    at, expected = 0, True
    while 0 <= at < len(data):
        size, side = _frame(data, at)
        end = at + size
        # After a tag, in which anything may look like a frame, it must lead to the end or to another one.
        if size and (expected or end == len(data) or _frame(data, end)[0]) and (end <= len(data) or at == 0):
            frame = data[at:end]
            if side and (frame[side : side + 4] in {b"Xing", b"Info"} or frame[36:40] == b"VBRI"):
                frame = frame[:side] + bytes(len(frame) - side)
            frames += frame
            at, expected = end, True
        else:
            at, expected = data.find(b"\xff", at + 1), False
    return bytes(frames)


def _frame(data: bytes, at: int) -> tuple[int, int]:
    """Size in bytes of the frame at a place, and, in layer 3, where in it the side information ends; zeros if there is
    no frame."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0, 0
    slower = {3: 1, 2: 2, 0: 4}.get(head[1] >> 3 & 3, 0)  # MPEG 1, 2, 2.5
    layer, rate, samples = 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if slower == 0 or layer == 4 or rate == 15 or samples == 3:
        return 0, 0
    if rate == 0:  # free format: known from the distance of frames only
        return len(data) - at, 0
    bits = 1000 * _RATES[min(slower, 2), layer][rate]
    hertz = _SAMPLES[samples] // slower
    padding = head[2] >> 1 & 1
    if layer == 1:
        return 4 * (12 * bits // hertz + padding), 0
    size = (144 if layer == 2 or slower == 1 else 72) * bits // hertz + padding
    if layer == 2:
        return size, 0
    start = 4 if head[1] & 1 else 6  # after the header, and its checksum if it has one
    mono = head[3] >> 6 == 3
    return size, start + ((17 if mono else 32) if slower == 1 else (9 if mono else 17))


@dataclass
class _Held(Generic[T]):
    """A packet whose main data may still be told to be no sound; `spans` are (place in the packet, place in the stream
    of main data, length) of its frames' main data, in bytes."""

    owner: T
    data: bytearray
    spans: list[tuple[int, int, int]]


class AncillaryEraser(Generic[T]):
    """Zeroes what lies behind the sound in frames of layer 3, where encoders write their names and anything fits.

    A frame's sound may begin in earlier frames, up to 511 bytes back; so where the sound of one ends and that of the
    next begins is known, and where a packet is final too, only with the next one. Decoders pass over what is zeroed.
    """

    def __init__(self) -> None:
        self._held: deque[_Held[T]] = deque()
        self._length = 0  # of the main data so far, in bytes
        self._sound_end = 0  # of the last frame, in bits of main data

    def push(self, owner: T, data: bytes) -> Iterator[tuple[T, bytes]]:
        """The next packet, of whole frames.

        Yields:
            earlier packets that are final, each with its owner.
        """
        held = _Held(owner, bytearray(data), [])
        self._held.append(held)
        at, begin = 0, self._length
        while at < len(data):
            size, side = _frame(data, at)
            if size == 0:
                break
            if side and side <= len(data) - at:
                begin = self._frame(held, at, data[at : at + size], side)
            at += size
        while len(self._held) > 1 and (len(self._held) > _MOST_HELD or self._is_final(self._held[0], begin)):
            final = self._held.popleft()
            yield final.owner, bytes(final.data)

    def flush(self) -> Iterator[tuple[T, bytes]]:
        """The packets that are left."""
        self._zero(self._sound_end, 8 * self._length)
        while self._held:
            final = self._held.popleft()
            yield final.owner, bytes(final.data)

    @staticmethod
    def _is_final(held: _Held[T], begin: int) -> bool:
        return all(place + length <= begin for _, place, length in held.spans)

    def _frame(self, held: _Held[T], at: int, frame: bytes, side: int) -> int:
        """Take a frame in; returns where in the main data its sound begins."""
        back, sound = _extent(frame, side)
        begin = max(0, self._length - back)
        self._zero(self._sound_end, 8 * begin)
        held.spans.append((at + side, self._length, len(frame) - side))
        self._length += len(frame) - side
        self._sound_end = max(self._sound_end, 8 * begin + sound)
        return begin

    def _zero(self, start: int, end: int) -> None:
        """Bits of main data."""
        for held in self._held:
            for place, begin, length in held.spans:
                first, last = max(start, 8 * begin), min(end, 8 * (begin + length))
                if first < last:
                    _zero_bits(held.data, 8 * (place - begin) + first, 8 * (place - begin) + last)


def _extent(frame: bytes, side: int) -> tuple[int, int]:
    """By how many bytes the sound of a frame begins before it, and how many bits it takes."""
    first, mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    channels = 1 if mono else 2
    bits = Bits(frame[side - ((17 if mono else 32) if first else (9 if mono else 17)) : side])
    back = bits.read(9 if first else 8)
    bits.skip((5 if mono else 3) + 4 * channels if first else channels)
    sound = 0
    for _ in range(channels * (2 if first else 1)):
        sound += bits.read(12)
        bits.skip((59 if first else 63) - 12)
    return back, sound


def _zero_bits(data: bytearray, start: int, end: int) -> None:
    whole, last = -(-start // 8), end // 8
    if whole > last:  # within one byte
        data[last] &= 0xFF << 8 * whole - start & 0xFF | 0xFF >> end % 8
        return
    if start % 8:
        data[start // 8] &= 0xFF << 8 - start % 8 & 0xFF
    data[whole:last] = bytes(last - whole)
    if end % 8:
        data[last] &= 0xFF >> end % 8
