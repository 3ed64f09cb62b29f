"""Two ways on which one sound stream goes into another container: copied packet by packet, or coded again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.packet import Packet

from dp2.sink.sound_headers import is_pcm
from dp2.sink.sound_packets import PacketCleaner

_CODEC_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT: no version strings in the stream
# Encoders by muxer, with bits a second and channel; AAC plays everywhere else.
_ENCODERS = {"webm": ("libopus", 64_000), "avi": ("libmp3lame", 96_000)}
_AAC = ("aac", 96_000)
_NAMES = {"libopus": "Opus", "libmp3lame": "MP3", "aac": "AAC"}
# Muxers that take what players then do not find.
_ONLY = {"mpegts": frozenset("aac aac_latm mp1 mp2 mp3 mp1float mp2float mp3float ac3 eac3 dca dts truehd opus libopus".split())}


class Lane(Protocol):
    """Takes packets of the source; gives those of the output, with times in the source's unit."""

    stream: Any

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]: ...

    def finish(self) -> Iterator[Packet[Any]]: ...


class CopyLane:
    """Packets as they are, cleaned. Arguments as of `copied_stream`."""

    def __init__(self, output: OutputContainer, source: Any, header: bytes | None) -> None:
        self.stream = copied_stream(output, source, header)
        self._clean = PacketCleaner(source.codec_context.name, header)

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        cleaned = self._clean(packet)
        if cleaned is not None:
            yield cleaned

    def finish(self) -> Iterator[Packet[Any]]:
        yield from ()


class EncodeLane:
    """Decodes and encodes.

    Args:
        output: gets a stream.
        source: the stream.

    Raises:
        av.FFmpegError, ValueError: it cannot be decoded, or not be encoded for this container.
    """

    def __init__(self, output: OutputContainer, source: Any) -> None:
        self._source = source
        codec, bits = _encoder(output.format.name)
        decoder = source.codec_context
        rates = av.Codec(codec, "w").audio_rates or [decoder.sample_rate]
        rate = min(rates, key=lambda known: (known < decoder.sample_rate, abs(known - decoder.sample_rate)))
        layout = decoder.layout.name if _can_encode(codec, rate, decoder.layout.name) else "stereo"
        self.stream: Any = output.add_stream(codec, rate=rate)
        context = self.stream.codec_context
        context.layout = layout
        context.bit_rate = bits * context.layout.nb_channels
        context.flags |= _CODEC_BITEXACT
        context.open()
        self._resampler = AudioResampler(context.format, context.layout, rate, frame_size=context.frame_size or None)

    @property
    def name(self) -> str:
        """What it becomes, for people."""
        return _NAMES[self.stream.codec_context.name]

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        frames: list[AudioFrame] = []
        with suppress(av.InvalidDataError):  # a damaged piece of sound is a gap
            frames = self._source.codec_context.decode(packet)
        for frame in frames:
            for piece in self._resampler.resample(frame):
                yield from self.stream.codec_context.encode(piece)

    def finish(self) -> Iterator[Packet[Any]]:
        for frame in self._source.codec_context.decode(None):
            for piece in self._resampler.resample(frame):
                yield from self.stream.codec_context.encode(piece)
        for piece in self._resampler.resample(None):
            yield from self.stream.codec_context.encode(piece)
        yield from self.stream.codec_context.encode(None)


def copied_stream(output: OutputContainer, source: Any, header: bytes | None) -> Any:
    """Add a stream like another one.

    Args:
        output: gets it.
        source: the stream.
        header: private data in the place of the source's.

    Raises:
        av.FFmpegError, ValueError: the muxer does not take it.
    """
    stream = output.add_stream_from_template(source)
    stream.codec_context.extradata = header
    return stream


def fits(source: Any, header: bytes | None, muxer: str) -> bool:
    """Whether a container can hold a sound stream, so that players find it."""
    codec = source.codec_context.name
    # MP4 has PCM since 2020, which hardly anything plays.
    if codec not in _ONLY.get(muxer, {codec}) or (muxer == "mp4" and is_pcm(codec)):
        return False
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as container:
            copied_stream(container, source, header)
            container.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _encoder(muxer: str) -> tuple[str, int]:
    return _ENCODERS.get(muxer, _AAC)


def _can_encode(codec: str, rate: int, layout: str) -> bool:
    try:
        context: Any = av.CodecContext.create(codec, "w")
        context.sample_rate, context.layout = rate, layout
        context.format = av.Codec(codec, "w").audio_formats[0].name
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True
