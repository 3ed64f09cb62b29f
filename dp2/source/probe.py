"""Opens a video and says what is in it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dp2.errors import UnreadableMedia, UnsupportedMedia
from dp2.media.video_info import Colour, VideoInfo

_FIRST_FRAME_WITHIN = 600  # packets


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become upright ones: swap the axes, then mirror.

    Attributes:
        swap: rows become columns.
        mirror_x, mirror_y: afterwards, left-right and top-bottom.
    """

    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def degrees(self) -> int:
        """Counter-clockwise turn, mirrorings left aside."""
        if self.swap:
            return 90 if self.mirror_y and not self.mirror_x else 270 if self.mirror_x and not self.mirror_y else 0
        return 180 if self.mirror_x and self.mirror_y else 0


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream; cover pictures do not count.

    Raises:
        UnreadableMedia: missing, empty, no video, or cut off so that nothing of it can be read.
        UnsupportedMedia: no decoder.
    """
    try:
        if path.stat().st_size == 0:
            raise UnreadableMedia(f"{path}: is empty. Nothing was written. Copy or record it again.")
        container = av.open(str(path), metadata_errors="replace")
    except av.FFmpegError as error:
        raise UnreadableMedia(f"{path}: {_why_not(path, error)} Nothing was written.") from error
    except OSError as error:
        reason = error.strerror or "cannot be opened"
        raise UnreadableMedia(f"{path}: cannot be read ({reason}). Nothing was written.") from error
    try:
        return container, _video_stream(container, path)
    except BaseException:
        container.close()
        raise


def probe(path: Path) -> tuple[VideoInfo, Orientation]:
    """Facts about a video, read from its headers and its first frame.

    Raises:
        UnreadableMedia, UnsupportedMedia: as `open_video`, or no frame can be decoded.
    """
    container, stream = open_video(path)
    with container:
        frames = stream.frames if container.format.name.split(",")[0] in {"mov", "avi"} else 0
        frames = len(stream.index_entries) if frames and "mp4" in container.format.name else frames
        duration = _duration(container, stream)
        rate = stream.average_rate or stream.guessed_rate
        if not frames and duration and rate:
            frames = round(duration * rate)
        origin = _origin(container)
        first = _first_frame(container, stream, path)
        orientation = _orientation(first)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        width, height = first.width, first.height
        info = VideoInfo(
            path=path,
            width=height if orientation.swap else width,
            height=width if orientation.swap else height,
            average_rate=rate or None,
            time_base=stream.time_base or Fraction(1, 90_000),
            frames=frames or None,
            duration=duration,
            end=_end(stream, origin),
            pixel_aspect=1 / aspect if orientation.swap else aspect,
            rotation=orientation.degrees,
            colour=Colour(
                matrix=int(first.colorspace),
                range=int(first.color_range),
                primaries=int(first.color_primaries),
                transfer=int(first.color_trc),
            ),
            coded_height=height,
            pixel_format=first.format.name,
            codec=stream.codec_context.name,
            audio=tuple(s.codec_context.name if s.codec_context else "unknown" for s in container.streams.audio),
            origin=origin,
        )
    return info, orientation


def audio_codecs(path: Path) -> tuple[str, ...]:
    """Codecs of the audio streams of any media file.

    Raises:
        UnreadableMedia: it cannot be opened.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return tuple(s.codec_context.name if s.codec_context else "unknown" for s in container.streams.audio)
    except (av.FFmpegError, OSError) as error:
        raise UnreadableMedia(f"{path}: its sound cannot be read ({error.strerror}). Nothing was written.") from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise UnreadableMedia(f"{path}: has no video stream, only {kinds}; there is nothing to anonymize in it.")
    stream = next((s for s in streams if s.disposition & Disposition.default), streams[0])
    if stream.codec_context is None:
        raise UnsupportedMedia(f"{path}: no decoder for its video codec; convert it to H.264 first.")
    return stream


def _why_not(path: Path, error: Any) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in {b"ftyp", b"mdat", b"wide", b"free"}:
        return "its index (moov) is missing: it was cut off, or its recording never ended; not even --salvage can help."
    return f"is not a video that can be read ({error.strerror}); check what kind of file it is."


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> VideoFrame:
    for packet in islice(container.demux(stream), _FIRST_FRAME_WITHIN):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            frames = []
        if frames:
            return frames[0]
    raise UnreadableMedia(f"{path}: not one frame of it can be decoded. Nothing was written. Copy or record it again.")


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration, av.time_base) if container.duration else None


def _end(stream: VideoStream, origin: Fraction) -> Fraction | None:
    if not stream.duration or not stream.time_base:
        return None
    return ((stream.start_time or 0) + stream.duration) * stream.time_base - origin


def _origin(container: InputContainer) -> Fraction:
    """MPEG streams count from anywhere; elsewhere a late start is meant and is kept."""
    flags: Any = container.format.flags  # an int, whatever PyAV's stub says
    if not flags & av.format.Flags.ts_discont.value:
        return Fraction(0)
    starts = [
        stream.start_time * stream.time_base
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.start_time is not None and stream.time_base
    ]
    return min(starts, default=Fraction(0))


def _orientation(frame: VideoFrame) -> Orientation:
    """From the display matrix (ISO/IEC 14496-12, 8.3.2): x' = ax + cy, y' = bx + dy; other angles are left alone."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
    if a == d == 0:
        return Orientation(swap=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(mirror_x=a < 0, mirror_y=d < 0) if b == c == 0 else Orientation()
