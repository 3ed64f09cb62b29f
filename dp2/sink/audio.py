"""Carries the sound of a video over: packet by packet where that is safe and possible, else coded again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet

from dp2.errors import UnreadableMedia, UnsupportedMedia
from dp2.media.ffmpeg_open import open_media
from dp2.media.splices import is_joined, joined_sound, may_be_joined
from dp2.sink.aac_elements import holds_only_sound
from dp2.sink.containers import CONTAINERS
from dp2.sink.known_tags import sift
from dp2.sink.sound_headers import safe_header
from dp2.sink.sound_lanes import CopyLane, EncodeLane, Lane, codec_name, fits
from dp2.sink.tags import refusal

_log = logging.getLogger(__name__)

# Coded with losses, and held by a container that is as common: coding it again would only make it worse.
_NOT_AGAIN = frozenset(["aac", "mp3", "opus", "vorbis", "ac3", "eac3"])


class AudioCopy:
    """All audio streams of a file on their way into another one.

    What decoders need is built anew from known fields, and packets are cleaned of tags; the decoded sound is the same.
    Sound that the container cannot hold, or that cannot be told from other data, is coded again; `notes` say so. What
    coders hide in the coded sound itself stays in what is copied.

    Args:
        source: where the sound comes from.
        output: gets one stream for each; its header must not have been written.
        target: the output's name, for messages.
        origin: seconds that the video's times are less than the container's.
        keep_metadata: carry languages and titles over.

    Attributes:
        notes: words to be said to the user.

    Raises:
        UnreadableMedia: `source` cannot be opened.
        UnsupportedMedia: the container cannot hold a codec, nor is it to be coded again.
    """

    def __init__(
        self, source: Path, output: OutputContainer, target: Path, *, origin: Fraction, keep_metadata: bool
    ) -> None:
        try:
            self._input = open_media(source)
        except (av.FFmpegError, OSError) as error:
            raise UnreadableMedia(f"{source}: its sound cannot be read; leave out --keep-audio.") from error
        self.notes: tuple[str, ...] = ()
        self._source = source
        self._target = target
        self._output = output
        self._origin = origin
        self._start: Fraction | None = None
        self._end: Fraction | None = None
        self._shift = Fraction(0)
        self._seeked = False
        self._lanes: dict[int, Lane] = {}
        try:
            for stream in self._input.streams.audio:
                lane = self._lane(stream)
                if keep_metadata:
                    sifted = sift(stream.metadata)
                    lane.stream.metadata.update(sifted.kept)
                    self.notes += refusal([sifted])
                self._lanes[stream.index] = lane
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
                break
            time = self._time(packet)
            if until is not None and time >= until:
                self._held = packet
                return
            if (self._start is None or time >= self._start) and (self._end is None or time < self._end):
                lane = self._lanes[packet.stream_index]
                self._write(lane, lane.take(packet))
        if until is None:
            for lane in self._lanes.values():
                self._write(lane, lane.finish())

    def close(self) -> None:
        """Let go of the source."""
        self._input.close()

    def _lane(self, stream: Any) -> Lane:
        suffix, muxer = self._target.suffix, self._output.format.name
        if stream.codec_context is None:
            raise UnsupportedMedia(f"{self._source}: its sound is of an unknown kind; leave out --keep-audio.")
        codec = codec_name(stream)
        try:
            header = safe_header(codec, stream.codec_context.extradata)
            if codec == "aac" and not holds_only_sound(self._source, stream.index):
                raise ValueError("it carries data besides sound")
        except ValueError as error:
            lane = self._encoder(stream, codec)
            self.notes += (f"its sound ({codec}) was coded again as {lane.name}: {error}",)
            return lane
        if fits(codec, muxer):
            with suppress(av.FFmpegError, ValueError):  # the muxer knows better
                return CopyLane(self._output, stream, header)
        able = " ".join(each for each, kind in CONTAINERS.items() if fits(codec, kind.format)) or "none"
        if codec in _NOT_AGAIN:
            raise UnsupportedMedia(
                f"{self._target}: {suffix} cannot hold the sound of {self._source.name} ({codec}); "
                f"leave out --keep-audio or write one of: {able}."
            )
        lane = self._encoder(stream, codec)
        self.notes += (f"{suffix} cannot hold its sound ({codec}), which became {lane.name}; kept as it is by: {able}",)
        return lane

    def _encoder(self, stream: Any, codec: str) -> EncodeLane:
        try:
            return EncodeLane(self._output, stream)
        except (av.FFmpegError, ValueError) as error:
            raise UnsupportedMedia(
                f"{self._target}: the sound of {self._source.name} ({codec}) cannot be coded again for "
                f"{self._target.suffix} ({error}); leave out --keep-audio."
            ) from error

    def _read(self) -> Iterator[Packet[Any]]:
        if not self._lanes:
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

    def _write(self, lane: Lane, packets: Iterator[Packet[Any]]) -> None:
        for packet in packets:
            shift = round((self._shift + self._origin) / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.stream = lane.stream
            self._output.mux(packet)
