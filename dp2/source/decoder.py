"""Decodes a video stream frame by frame and stops at the first thing that is not whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dp2.media.splices import Splices, Step, may_be_joined
from dp2.source.whole import is_cut_off

_log = logging.getLogger(__name__)


class Damage(Exception):
    """The stream is not whole from here on. `cut` tells a file that ends too early from one with broken contents."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.cut = cut


def is_empty(packet: Packet[VideoStream]) -> bool:
    """Whether a packet says that the frame before stays (Theora, AVI, QuickTime). To a decoder it would be the end."""
    return packet.size == 0 and not (packet.dts is None and packet.pts is None)


def whole_frames(
    container: InputContainer, stream: VideoStream, path: Path, splices: Splices, *, seeked: bool
) -> Iterator[VideoFrame]:
    """Frames in the order in which they are shown, up to the end or the first damage.

    Decoders conceal damage unless told otherwise, so they are told to report it (`err_detect=explode`). A packet is
    decoded only when the next one has been read: of a file that was cut off the last packet is not whole.

    Args:
        container, stream, path: of the file.
        splices: fresh; knows afterwards what the file was joined from.
        seeked: reading does not begin at the beginning.

    Raises:
        Damage: a packet or frame is not whole, or the file ends before its container says so.
    """
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"err_detect": "explode"}
    decoder = _Decoder(stream, forgiving=seeked)
    expected = None if seeked else _expected_packets(container, stream)
    held: Packet[VideoStream] | None = None
    count = 0
    packets = _packets(container, stream, path)
    joinable = may_be_joined(container) and not seeked
    for step in splices.steps(packets, path) if joinable else map(_step, packets):
        packet = step.packet
        if packet is None or step.corrupt:
            if packet is not None and held is not None:
                yield from decoder.decode(held)
            yield from decoder.flush()
            raise Damage(cut=is_cut_off(path) or packet is not None)
        count += 1
        if is_empty(packet):
            continue
        if step.joins and held is not None:
            yield from decoder.decode(held)
            yield from decoder.restart()
            held = None
        if held is not None:
            yield from decoder.decode(held)
        held = packet
    cut = is_cut_off(path) or (expected is not None and count < expected)
    if held is not None and not cut:
        yield from decoder.decode(held)
    yield from decoder.flush()
    if cut:
        raise Damage(cut=True)


def _step(packet: Packet[VideoStream] | None) -> Step:
    return Step(packet, corrupt=packet is not None and packet.is_corrupt)


def _packets(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[Packet[VideoStream] | None]:
    """From the first key packet on; None where the container cannot be read further."""
    skipped = 0
    started = False
    try:
        for packet in container.demux(stream):
            if packet.size == 0 and packet.dts is None:
                continue  # PyAV's signal to flush
            started = started or packet.is_keyframe
            if started:
                yield packet
            else:
                skipped += 1
            if started and skipped:
                _log.warning("%s: begins between two key frames; %d frames cannot be decoded", path, skipped)
                skipped = 0
    except av.FFmpegError:
        yield None
        return
    if not started:
        yield None


def _expected_packets(container: InputContainer, stream: VideoStream) -> int | None:
    """What the index of an MP4 or MOV lists; other indexes are partial or built while reading."""
    return len(stream.index_entries) if "mp4" in container.format.name and stream.frames else None


class _Decoder:
    """Feeds packets to the decoder.

    After seeking, errors are forgiven until the first frame: pictures before an open group's key frame refer to
    pictures that were never read, and are not asked for.
    """

    def __init__(self, stream: VideoStream, *, forgiving: bool) -> None:
        self._stream = stream
        self._forgiving = forgiving

    def decode(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        try:
            frames = self._stream.decode(packet)
        except av.EOFError:
            return
        except av.FFmpegError as error:
            if self._forgiving:
                return
            raise Damage(cut=False) from error
        for frame in frames:
            if frame.is_corrupt:
                if self._forgiving:
                    continue
                raise Damage(cut=False)
            self._forgiving = False
            if self._stream.time_base is not None:
                frame.time_base = self._stream.time_base  # flushed frames come with another one
            yield frame

    def restart(self) -> Iterator[VideoFrame]:
        """The rest of the frames; what comes then belongs to another recording."""
        yield from self.flush()
        self._stream.codec_context.flush_buffers()
        self._forgiving = True

    def flush(self) -> Iterator[VideoFrame]:
        yield from self.decode(None)
