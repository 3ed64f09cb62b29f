"""Two ways on which one sound stream goes into another container: copied packet by packet, or coded again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.packet import Packet

from dp2.sink.sound_packets import PacketCleaner

_CODEC_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT: no version strings in the stream
# Encoders by muxer, with bits a second and channel; AAC plays everywhere else.
_ENCODERS = {"webm": ("libopus", 64_000), "avi": ("libmp3lame", 96_000)}
_AAC = ("aac", 96_000)
_NAMES = {"libopus": "Opus", "libmp3lame": "MP3", "aac": "AAC"}
_PCM = "pcm_u8 pcm_s16le pcm_s24le pcm_s32le pcm_f32le pcm_f64le "
_PCM_BIG = "pcm_s16be pcm_s24be pcm_s32be "
# What players find in a container of each muxer; FFmpeg's muxers take more, and some of what they take ends the
# process. MP4 has PCM since 2020, which hardly anything plays.
_HOLDS = {
    muxer: frozenset(codecs.split())
    for muxer, codecs in {
        "mp4": "aac ac3 alac dts eac3 flac mp2 mp3 opus vorbis",
        "mov": f"aac ac3 alac eac3 mp2 mp3 amr_nb amr_wb pcm_s8 pcm_alaw pcm_mulaw {_PCM}{_PCM_BIG}pcm_f32be pcm_f64be",
        "matroska": f"aac ac3 alac dts eac3 flac mlp mp1 mp2 mp3 opus truehd tta vorbis wavpack {_PCM}{_PCM_BIG}",
        "webm": "opus vorbis",
        "avi": f"aac ac3 dts eac3 flac mp1 mp2 mp3 pcm_alaw pcm_mulaw {_PCM}adpcm_ima_wav adpcm_ms wmav1 wmav2 wmapro",
        "mpegts": "aac aac_latm ac3 dts eac3 mp1 mp2 mp3 opus truehd",
        "flv": "aac ac3 eac3 flac mp3 opus",
    }.items()
}


class Lane(Protocol):
    """Takes packets of the source; gives those of the output, with times in the source's unit."""

    stream: Any

    def take(self, packet: Packet[Any]) -> Iterator[Packet[Any]]: ...

    def finish(self) -> Iterator[Packet[Any]]: ...


class CopyLane:
    """Packets as they are, cleaned. Arguments as of `copied_stream`."""

    def __init__(self, output: OutputContainer, source: Any, header: bytes | None) -> None:
        self.stream = copied_stream(output, source, header)
        self._clean = PacketCleaner(codec_name(source), header)

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
        context: Any = self.stream.codec_context
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


def codec_name(stream: Any) -> str:
    """FFmpeg's name of a stream's codec, whichever decoder is used."""
    name: str = stream.codec_context.codec.canonical_name
    return name


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


def fits(codec: str, muxer: str) -> bool:
    """Whether a container can hold sound of a codec, so that players find it."""
    return codec in _HOLDS[muxer]


def _encoder(muxer: str) -> tuple[str, int]:
    return _ENCODERS.get(muxer, _AAC)


def _can_encode(codec: str, rate: int, layout: str) -> bool:
    try:
        context: Any = av.CodecContext.create(codec, "w")
        context.sample_rate, context.layout = rate, layout
        context.format = (av.Codec(codec, "w").audio_formats or ["fltp"])[0]
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True
