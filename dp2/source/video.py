"""Reads a video file as a stream of RGB frames."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from dp2.errors import UnreadableMedia, UnsupportedMedia
from dp2.media.video_info import (
    RANGE_FULL,
    RGB_MATRIX,
    UNSPECIFIED,
    VideoInfo,
    meant_matrix,
    meant_range,
    swscale_matrix,
)
from dp2.source.decoder import Damage, whole_frames
from dp2.source.probe import Orientation, open_video, probe
from dp2.source.timing import exact_rate, resample
from dp2.types import Frame, Image

_log = logging.getLogger(__name__)
_NOTHING = np.zeros((0, 0, 3), np.uint8)


class VideoSource:
    """The frames of a video: upright, (H, W, 3) uint8 RGB, with their exact times. Can be iterated repeatedly.

    Args:
        path: any file that FFmpeg reads.
        start, end: seconds; frames with start <= time < end are read.
        fps: resample to this constant rate by dropping and repeating frames.
        max_res: scale down so that no side is longer; sides become even.
        salvage: stop with a warning where the file is damaged, instead of raising.
        max_pixels: larger pictures are refused.

    Attributes:
        info: what is known before reading.
        notes: words to be said to the user.

    Raises:
        UnreadableMedia: from the constructor, if no frame can be read; while iterating, at the first damage.
        UnsupportedMedia: no decoder for the codec, or a frame has more than `max_pixels`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        start: float | None = None,
        end: float | None = None,
        fps: float | Fraction | None = None,
        max_res: int | None = None,
        salvage: bool = False,
        max_pixels: int = 210_000_000,
    ) -> None:
        self._path = Path(path)
        # By way of text: 1.1 means 11/10, not the binary number next to it.
        self._start = None if start is None else Fraction(str(start))
        self._end = None if end is None else Fraction(str(end))
        self._rate = None if fps is None else exact_rate(fps)
        self._salvage = salvage
        stored, self._orientation = probe(self._path)
        if stored.width * stored.height > max_pixels:
            raise UnsupportedMedia(f"{self._path}: {stored.width}x{stored.height} is too large; see --max-pixels.")
        self._stored = stored
        width, height = limited_size(stored.width, stored.height, max_res)
        self.info: VideoInfo = span_info(
            replace(stored, width=width, height=height), self._start, self._end, self._rate
        )
        self.notes: tuple[str, ...] = _notes(stored)

    def __iter__(self) -> Iterator[Frame]:
        frames: Iterable[Frame] = self._frames()
        return iter(frames if self._rate is None else resample(frames, self._rate))

    def _frames(self) -> Iterator[Frame]:
        held: Frame | None = None
        index = count()
        for frame in self._timed():
            if held is not None:
                # Not the container's own duration: in MP4 that is the distance of decoding times, not of showing times.
                yield replace(held, index=next(index), duration=frame.time - held.time)
            if self._end is not None and frame.time >= self._end:
                return
            held = frame if self._start is None or frame.time >= self._start else None
        if held is not None:
            yield replace(held, index=next(index), duration=self._last_duration(held))

    def _timed(self) -> Iterator[Frame]:
        container, stream = open_video(self._path)
        read = 0
        with container:
            seeked = self._seek(container, stream)
            picture = _Picture(self.info, self._stored, self._orientation)
            try:
                for decoded in whole_frames(container, stream, self._path, seeked=seeked):
                    read += 1
                    time = self._time(decoded, stream, read)
                    inside = (self._start is None or time >= self._start) and (self._end is None or time < self._end)
                    image = picture(decoded) if inside else _NOTHING
                    yield Frame(image, read, time, decoded.duration * (stream.time_base or Fraction(0)) or None)
            except Damage as damage:
                self._report(damage, read, seeked)

    def _last_duration(self, frame: Frame) -> Fraction | None:
        left = None if self._stored.end is None else self._stored.end - frame.time
        return left if left is not None and left > 0 else frame.duration

    def _seek(self, container: InputContainer, stream: VideoStream) -> bool:
        if not self._start or stream.time_base is None:
            return False
        target = (self._start + self._stored.origin) / stream.time_base
        container.seek(target.__floor__(), stream=stream)
        return True

    def _time(self, frame: VideoFrame, stream: VideoStream, position: int) -> Fraction:
        if frame.pts is not None and stream.time_base is not None:
            return frame.pts * stream.time_base - self._stored.origin
        rate = self._stored.average_rate or Fraction(25)
        return (position - 1) / rate  # raw streams carry no times

    def _report(self, damage: Damage, read: int, seeked: bool) -> None:
        total = self._stored.frames
        of = f"{read} frames were read" if total is None or seeked else f"{read} of {max(total, read)} frames were read"
        where = f"frame {read}" + (" after --start-time" if seeked else "")
        what = f"the file ends in {where}" if damage.cut else f"{where} is damaged"
        if self._salvage:
            _log.warning("%s: %s; %s, the rest is left out.", self._path, what, of)
            self.notes = (*self.notes, f"{what}; {of}, the rest is left out.")
            return
        raise UnreadableMedia(
            f"{self._path}: {what}; {of}. Nothing was written. Use --salvage to keep what was whole."
        ) from damage


def limited_size(width: int, height: int, max_res: int | None) -> tuple[int, int]:
    """The size after scaling down to `max_res`; even, because 4:2:0 video of odd size does not play everywhere."""
    longest = max(width, height)
    if max_res is None or longest <= max_res:
        return width, height

    def scaled(side: int) -> int:
        return max(2, 2 * round(Fraction(side * max_res, longest) / 2 - Fraction(1, 1000)))

    return scaled(width), scaled(height)


def span_info(info: VideoInfo, start: Fraction | None, end: Fraction | None, rate: Fraction | None) -> VideoInfo:
    """What remains of a stream in a time span and at another rate; the number of frames becomes an estimate."""
    if rate is not None:
        info = replace(info, average_rate=rate, time_base=1 / rate)
    if info.duration is None or (start is None and end is None and rate is None):
        return info if start is None and end is None else replace(info, frames=None)
    last = info.duration if end is None else min(end, info.duration)
    duration = max(Fraction(0), last - (start or 0))
    frames = None if info.average_rate is None else max(1, round(duration * info.average_rate))
    return replace(info, duration=duration, frames=frames)


class _Picture:
    """Decoded frames to upright RGB of the wanted size."""

    def __init__(self, info: VideoInfo, stored: VideoInfo, orientation: Orientation) -> None:
        self._orientation = orientation
        self._size = (info.height, info.width) if orientation.swap else (info.width, info.height)
        matrix = meant_matrix(stored.colour, stored.coded_height)
        self._matrix = swscale_matrix(1 if matrix == RGB_MATRIX else matrix)
        self._range = meant_range(stored.colour, stored.pixel_format)
        self._convert = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Image:
        width, height = self._size
        same = (frame.width, frame.height) == self._size
        rgb = self._convert.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            # BILINEAR takes swscale's quick path: chroma is repeated, which averaging undoes when it is encoded again.
            interpolation=Interpolation.BILINEAR if same else Interpolation.AREA,
            src_colorspace=self._matrix,
            src_color_range=self._range,
            dst_color_range=RANGE_FULL,
        )
        image = np.asarray(rgb.to_ndarray(), np.uint8)
        return np.ascontiguousarray(_upright(image, self._orientation))


def _upright(image: Image, orientation: Orientation) -> Image:
    turned = cv2.transpose(image) if orientation.swap else image
    if orientation.mirror_x and orientation.mirror_y:
        turned = cv2.flip(turned, -1)
    elif orientation.mirror_x:
        turned = cv2.flip(turned, 1)
    elif orientation.mirror_y:
        turned = cv2.flip(turned, 0)
    return turned


def _notes(info: VideoInfo) -> tuple[str, ...]:
    from av.video.format import VideoFormat

    form = VideoFormat(info.pixel_format)
    notes = []
    if any(component.bits > 8 for component in form.components):
        notes.append(f"{max(c.bits for c in form.components)} bits a colour become 8")
    if any(component.is_alpha for component in form.components) and form.name not in {"pal8"}:
        notes.append("its transparency is left out")
    if info.colour.transfer in {16, 18}:
        notes.append("high dynamic range is kept in 8 bits; gradients may show steps")
    if info.colour.matrix not in {RGB_MATRIX, 1, UNSPECIFIED, 4, 5, 6, 7, 9}:
        notes.append("its colour matrix is not known here; colours may shift")
    return tuple(notes)
