"""Opens a video and says what is in it."""

from __future__ import annotations

import math
import stat
import struct
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags as CodecFlags
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dp2.detect.display_shape import is_meant
from dp2.errors import UnreadableMedia, UnsupportedMedia
from dp2.media.ffmpeg_open import chosen_video, open_media
from dp2.media.splices import may_be_joined
from dp2.media.video_info import Colour, VideoInfo
from dp2.source.cropping import container_crop
from dp2.source.decoder import is_empty
from dp2.source.fields import fields_as_shown, fields_of
from dp2.source.layout import Crop, Layout, Orientation, orientation_of
from dp2.source.motion_jpeg import is_motion_jpeg
from dp2.source.sniff import is_text, names_other_files

_FIRST_FRAME_WITHIN = 600  # packets
_HEAD = 4096
_HIGHEST_RATE = 10_000  # frames/s


@dataclass(frozen=True)
class Probed:
    """What is known about a video before it is read.

    Attributes:
        info: as shown: cropped and upright.
        layout: from decoded frames to shown ones.
        pixels: of a decoded or a shown frame, whichever has more.
        notes: words to be said.
    """

    info: VideoInfo
    layout: Layout
    pixels: int
    notes: tuple[str, ...]


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream; cover pictures do not count.

    Raises:
        UnreadableMedia: missing, empty, no video, or cut off so that nothing of it can be read.
        UnsupportedMedia: no decoder.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could wait for ever
            raise UnreadableMedia(f"{path}: is no regular file. Nothing was written. Save the video to a file first.")
        if status.st_size == 0:
            raise UnreadableMedia(f"{path}: is empty. Nothing was written. Copy or record it again.")
        container = open_media(path, "mjpeg" if is_motion_jpeg(path) else None)
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


def probe(path: Path) -> Probed:
    """Facts about a video, read from its headers and its first frame.

    Raises:
        UnreadableMedia, UnsupportedMedia: as `open_video`, or no frame can be decoded.
    """
    container, stream = open_video(path)
    with container:
        frames = stream.frames if container.format.name.split(",")[0] in {"mov", "avi"} else 0
        frames = len(stream.index_entries) if frames and "mp4" in container.format.name else frames
        duration = _duration(container, stream)
        rate = _rate(stream)
        if not frames and duration and rate:
            frames = round(duration * rate)
        origin = _origin(container)
        first = _first_frame(container, stream, path)
        layout, notes = _layout(container, stream, first, path)
        width, height = layout.size(first.width, first.height)
        info = VideoInfo(
            path=path,
            width=width,
            height=height,
            average_rate=rate or None,
            time_base=stream.time_base or Fraction(1, 90_000),
            frames=frames or None,
            duration=duration,
            end=_end(stream, origin),
            pixel_aspect=_pixel_aspect(stream, layout),
            rotation=layout.orientation.degrees,
            colour=Colour(
                matrix=int(first.colorspace),
                range=int(first.color_range),
                primaries=int(first.color_primaries),
                transfer=int(first.color_trc),
            ),
            coded_height=first.height,
            pixel_format=first.format.name,
            codec=stream.codec_context.name,
            audio=tuple(s.codec_context.name if s.codec_context else "unknown" for s in container.streams.audio),
            origin=origin,
            fields=fields_as_shown(fields_of(stream, first), layout, first.height),
        )
        notes += _notes(container, stream, info)
    return Probed(info, layout, max(first.width * first.height, width * height), tuple(notes))


def audio_codecs(path: Path) -> tuple[str, ...]:
    """Codecs of the audio streams of any media file.

    Raises:
        UnreadableMedia: it cannot be opened.
    """
    try:
        with open_media(path) as container:
            return tuple(s.codec_context.name if s.codec_context else "unknown" for s in container.streams.audio)
    except (av.FFmpegError, OSError) as error:
        raise UnreadableMedia(f"{path}: its sound cannot be read ({error.strerror}). Nothing was written.") from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    stream = chosen_video(container)
    if stream is None:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise UnreadableMedia(f"{path}: has no video stream, only {kinds}; there is nothing to anonymize in it.")
    if stream.codec_context is None:
        raise UnsupportedMedia(f"{path}: no decoder for its video codec; convert it to H.264 first.")
    # Else decoders crop only to a multiple of some pixels, and leave pixels that are not to be shown.
    stream.codec_context.flags |= CodecFlags.unaligned
    return stream


def _why_not(path: Path, error: Any) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if names_other_files(head):
        return "is not a video but a text that names other files or hosts, which are never opened; give those files."
    if is_text(head):
        return "is not a video but a text; check what kind of file it is."
    if head[4:8] in {b"ftyp", b"mdat", b"wide", b"free"}:
        return "its index (moov) is missing: it was cut off, or its recording never ended; not even --salvage can help."
    return f"is not a video that can be read ({error.strerror}); check what kind of file it is."


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> VideoFrame:
    for packet in islice(container.demux(stream), _FIRST_FRAME_WITHIN):
        if is_empty(packet):
            continue
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            frames = []
        if frames:
            return frames[0]
    raise UnreadableMedia(f"{path}: not one frame of it can be decoded. Nothing was written. Copy or record it again.")


def _rate(stream: VideoStream) -> Fraction | None:
    """The average, unless it only counts ticks (raw DV); what FFmpeg guesses then."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and rate <= _HIGHEST_RATE:
            return rate
    return stream.average_rate


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
    if not may_be_joined(container):
        return Fraction(0)
    starts = [
        stream.start_time * stream.time_base
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.start_time is not None and stream.time_base
    ]
    return min(starts, default=Fraction(0))


def _pixel_aspect(stream: VideoStream, layout: Layout) -> Fraction:
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if aspect <= 0:
        return Fraction(1)
    return 1 / aspect if layout.orientation.swap else aspect


def _layout(container: InputContainer, stream: VideoStream, frame: VideoFrame, path: Path) -> tuple[Layout, list[str]]:
    """Where in decoded frames the shown picture lies, and what the file says about it that is not followed."""
    notes = []
    place = [video.index for video in container.streams.video].index(stream.index)
    crop = container_crop(path, container.format.name, place, stream.id, (frame.width, frame.height))
    if crop is None:
        notes.append("its crop box lies outside of the picture and is ignored, as players do")
    orientation = _orientation(frame)
    if orientation is None:
        notes.append("its display matrix is no turn and is ignored, as players do")
    elif orientation.turn:
        notes.append(f"it is turned by {orientation.turn:.0f} degrees, as its display matrix says")
    return Layout(crop or Crop(), orientation or Orientation()), notes


def _orientation(frame: VideoFrame) -> Orientation | None:
    try:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know all that FFmpeg attaches to a frame, e.g. EXIF
        if abs(frame.rotation) > 180:  # of a matrix that is no turn
            return None
        angle = math.radians(-frame.rotation)
        turn = [round(65536 * value) for value in (math.cos(angle), math.sin(angle))]
        return orientation_of((turn[0], turn[1], 0, -turn[1], turn[0]))
    if data is None or len(bytes(data)) < 36:
        return Orientation()
    return orientation_of(struct.unpack("=9i", bytes(data)[:36]))


def _notes(container: InputContainer, stream: VideoStream, info: VideoInfo) -> list[str]:
    """What else the file holds that the output will not."""
    notes = []
    others = sum(not video.disposition & Disposition.attached_pic for video in container.streams.video) - 1
    if others > 0:
        notes.append(f"{others} further video stream{'s were' if others > 1 else ' was'} left out")
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if tags.get("alpha_mode", "0") != "0":  # WebM keeps it beside the pictures
        notes.append("its transparency is left out")
    if not is_meant(info.pixel_aspect):
        notes.append(f"its pixel aspect {info.pixel_aspect} cannot be meant; people were looked for in square pixels")
    return notes
