"""Packets of copied sound without what is no sound: tags between frames, names of encoders, filled-in bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from av.packet import Packet

from dp2.sink.mp3_frames import frames_only


class PacketCleaner:
    """Makes clean packets of one stream.

    Args:
        codec: FFmpeg's name.
        header: its private data, checked.
    """

    def __init__(self, codec: str, header: bytes | None) -> None:
        self._clean: Callable[[bytes], bytes | None] = bytes
        if codec in {"mp1", "mp2", "mp3"}:
            self._clean = frames_only
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
