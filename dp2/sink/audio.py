"""Copies the sound of a video packet by packet, without decoding it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet

from dp2.errors import UnreadableMedia, UnsupportedMedia
from dp2.media.ffmpeg_open import open_media
from dp2.media.splices import is_joined, joined_sound, may_be_joined
from dp2.sink.containers import CONTAINERS

_log = logging.getLogger(__name__)


class AudioCopy:
    """All audio streams of a file on their way into another one.

    Args:
        source: where the sound comes from.
        output: gets one stream for each; its header must not have been written.
        target: the output's name, for messages.
        origin: seconds that the video's times are less than the container's.
        keep_metadata: carry languages and titles over.

    Raises:
        UnreadableMedia: `source` cannot be opened.
        UnsupportedMedia: the container cannot hold a codec.
    """

    def __init__(
        self, source: Path, output: OutputContainer, target: Path, *, origin: Fraction, keep_metadata: bool
    ) -> None:
        try:
            self._input = open_media(source)
        except (av.FFmpegError, OSError) as error:
            raise UnreadableMedia(f"{source}: its sound cannot be read; leave out --keep-audio.") from error
        self._source = source
        self._output = output
        self._origin = origin
        self._start: Fraction | None = None
        self._end: Fraction | None = None
        self._shift = Fraction(0)
        self._seeked = False
        self._streams: dict[int, Any] = {}
        try:
            for stream in self._input.streams.audio:
                copied = _add(output, stream, source, target)
                if keep_metadata:
                    copied.metadata.update(stream.metadata)
                self._streams[stream.index] = copied
        except BaseException:
            self.close()
            raise
        self._packets = self._read()
        self._held: Packet[Any] | None = None

    def begin(self, start: Fraction | None, end: Fraction | None, shift: Fraction) -> None:
        """Packets with start <= time < end will be copied, `shift` seconds earlier. Times are the video's."""
        self._start, self._end, self._shift = start, end, shift
        if start is not None and start > 0 and not is_joined(self._source):
            self._seeked = True
            self._input.seek(int((start + self._origin) * av.time_base))

    def copy(self, until: Fraction | None = None) -> None:
        """Write what belongs before the video's time `until`, or all that is left."""
        while True:
            packet = self._held if self._held is not None else next(self._packets, None)
            self._held = None
            if packet is None:
                return
            time = self._time(packet)
            if until is not None and time >= until:
                self._held = packet
                return
            if (self._start is None or time >= self._start) and (self._end is None or time < self._end):
                self._write(packet)

    def close(self) -> None:
        """Let go of the source."""
        self._input.close()

    def _read(self) -> Iterator[Packet[Any]]:
        if not self._streams:
            return
        try:
            sounds = list(self._input.streams.audio)
            joinable = may_be_joined(self._input) and not self._seeked
            for packet in joined_sound(self._input, sounds) if joinable else self._input.demux(sounds):
                if packet.is_corrupt:
                    break
                if packet.size and (packet.pts is not None or packet.dts is not None):
                    yield packet
        except av.FFmpegError as error:
            _log.warning("%s: its sound ends early (%s).", self._source, error.strerror)

    def _time(self, packet: Packet[Any]) -> Fraction:
        stamp = packet.pts if packet.pts is not None else packet.dts
        return (stamp or 0) * packet.time_base - self._origin

    def _write(self, packet: Packet[Any]) -> None:
        shift = round((self._shift + self._origin) / packet.time_base)
        packet.stream, stream = self._streams[packet.stream_index], packet.stream
        packet.time_base = stream.time_base
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        self._output.mux(packet)


def _add(output: OutputContainer, stream: Any, source: Path, target: Path) -> Any:
    codec = "unknown" if stream.codec_context is None else stream.codec_context.name
    try:
        return output.add_stream_from_template(stream)
    except (ValueError, av.FFmpegError) as error:
        able = " ".join(suffix for suffix in CONTAINERS if _holds(suffix, codec)) or "none"
        raise UnsupportedMedia(
            f"{target}: {target.suffix} cannot hold the sound of {source.name} ({codec}); "
            f"leave out --keep-audio or write one of: {able}."
        ) from error


def _holds(suffix: str, codec: str) -> bool:
    with av.open(f"probe{suffix}", "w", format=CONTAINERS[suffix].format) as container:  # nothing is written to it
        return codec in container.supported_codecs
