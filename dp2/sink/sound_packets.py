"""Packets of copied sound without what is no sound: tags between frames, names of encoders, filled-in bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from av.packet import Packet


class PacketCleaner:
    """Makes clean packets of one stream.

    Args:
        codec: FFmpeg's name.
        header: its private data, checked.
    """

    def __init__(self, codec: str, header: bytes | None) -> None:
        self._clean: Callable[[bytes], bytes | None] = bytes
        if codec in {"mp1", "mp2", "mp3"}:
            self._clean = _mpeg
        elif header is not None and header.startswith(b"OpusHead"):
            self._clean = partial(_opus, streams=header[19] if header[18] else 1)

    def __call__(self, packet: Packet[Any]) -> Packet[Any] | None:
        """The same piece of sound in a packet of its own, with nothing that containers hang onto packets but how many
        samples are to be skipped.

        Returns:
            None where it is no sound, or damaged.
        """
        try:
            data = self._clean(bytes(packet))
        except ValueError:
            data = None
        if not data:
            return None
        cleaned: Packet[Any] = Packet(data)
        cleaned.pts, cleaned.dts, cleaned.duration = packet.pts, packet.dts, packet.duration
        cleaned.time_base, cleaned.is_keyframe = packet.time_base, packet.is_keyframe
        if packet.has_sidedata("skip_samples"):
            cleaned.set_sidedata(packet.get_sidedata("skip_samples"))
        return cleaned


# Bits a second by version (MPEG 1, others), layer and index; samples a second by index of MPEG 1 (ISO/IEC 11172-3,
# 2.4.2.3, and 13818-3).
_RATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLES = (44_100, 48_000, 32_000)


def _mpeg(data: bytes) -> bytes:
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


def _opus(data: bytes, streams: int) -> bytes:
    """A packet with its padding zeroed, which decoders pass over (RFC 6716, 3.2.5 and appendix B). All streams of a
    packet but the last tell their length.

    Raises:
        ValueError: it is damaged.
    """
    cleaned = bytearray(data)
    at = 0
    try:
        for number in range(streams):
            at = _zero_padding(cleaned, at, delimited=number < streams - 1)
    except IndexError:
        raise ValueError("a packet of Opus ends early") from None
    return bytes(cleaned)


def _zero_padding(data: bytearray, at: int, *, delimited: bool) -> int:
    """Of the packet that begins at `at`; returns where the next one begins."""
    code, at = data[at] & 3, at + 1
    frames, variable, padding = (1, 2, 2)[min(code, 2)], code == 2, 0
    if code == 3:
        count, at = data[at], at + 1
        frames, variable = count & 63, bool(count & 128)
        while count & 64:
            padding, at = padding + min(data[at], 254), at + 1
            if data[at - 1] != 255:
                break
    sizes = []
    for _ in range((frames if variable else 1) - (not delimited)):
        size, at = data[at], at + 1
        if size >= 252:
            size, at = size + 4 * data[at], at + 1
        sizes.append(size)
    end = at + sum(sizes if variable else sizes * frames) + padding if delimited else len(data)
    if end > len(data) or end - padding < at:
        raise ValueError("a packet of Opus ends early")
    data[end - padding : end] = bytes(padding)
    return end
