"""Writes frames to a video file that becomes visible only when it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from dp2.errors import OutputError, UsageError
from dp2.media.video_info import RANGE_FULL, VideoInfo
from dp2.sink.atomic import PendingFile, output_error
from dp2.sink.audio import AudioCopy
from dp2.sink.containers import Container, container_of
from dp2.sink.encoder import Encoding
from dp2.sink.pixel_format import Look, pixel_format
from dp2.sink.priority import scheduled_as_before
from dp2.sink.tags import copy_tags
from dp2.types import Frame

_CODEC_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT: no version strings in the stream
_MUXER_BITEXACT = 0x400  # AVFMT_FLAG_BITEXACT: no version and no date of the muxer
_DEFAULT_RATE = Fraction(25)


class VideoSink:
    """A `Sink` that encodes to the container that the name of `path` asks for.

    Frames keep their times exactly, as far as the container can (Matroska and WebM count milliseconds, AVI has a
    constant rate); the last frame keeps its duration. Pixel aspect and colour tags are those of `info`. Sound is
    dropped and so is everything else that the source carries - tags, chapters, subtitles, timecode, cover - unless
    asked for; subtitles, timecode and cover are never copied. Frames may be written from any one thread at a time.

    Args:
        path: the output.
        info: of the source.
        encoding: codec, quality, speed.
        keep_audio: copy the packets of all audio streams of `source_path`.
        keep_metadata: copy the tags and chapters of `source_path`.
        source_path: by default `info.path`.
        start, end: seconds; the span that the frames come from. With `start` the first frame moves to time 0.
        overwrite: replace an existing file.

    Raises:
        UsageError: unknown container, codec, option or pixel format.
        UnsupportedMedia: the container cannot hold the sound.
        OutputError: `path` cannot be written.
    """

    def __init__(
        self,
        path: Path | str,
        info: VideoInfo,
        *,
        encoding: Encoding | None = None,
        keep_audio: bool = False,
        keep_metadata: bool = False,
        source_path: Path | None = None,
        start: float | None = None,
        end: float | None = None,
        overwrite: bool = False,
    ) -> None:
        self._path = Path(path)
        self._info = info
        self._encoding = encoding or Encoding()
        self._span = (None if start is None else Fraction(str(start)), None if end is None else Fraction(str(end)))
        self._kind = container_of(self._path)
        self._origin: Fraction | None = None
        self._durations: dict[int, int] = {}
        self._last = -1
        self._end = 0
        self._first_pts: int | None = None
        self._first_dts: int | None = None
        self._held: Packet[Any] | None = None
        self._convert = VideoReformatter()
        self._audio: AudioCopy | None = None
        self._filter: BitStreamFilterContext | None = None
        self._pending = PendingFile(self._path, overwrite=overwrite)
        try:
            with self._reported():
                self._output = self._open(keep_metadata)
                self._stream = self._add_stream()
                source = source_path or info.path
                if keep_metadata:
                    copy_tags(source, self._output, self._stream, self._span[0])
                if keep_audio:
                    self._audio = AudioCopy(
                        source, self._output, self._path, origin=info.origin, keep_metadata=keep_metadata
                    )
                with scheduled_as_before():
                    self._output.start_encoding()
                self._refuse_leftovers()
                if self._stream.codec_context.name in {"libx264", "h264"}:
                    # x264 writes its settings into an SEI message of the first packet.
                    self._filter = BitStreamFilterContext("filter_units=remove_types=6", in_stream=self._stream)
        except BaseException:
            self.discard()
            raise

    def write(self, frame: Frame) -> None:
        """Encode one frame; times must grow.

        Raises:
            ValueError: the frame does not have the size in `info`.
            OutputError: the disk is full or the encoder failed.
        """
        if frame.image.shape != (self._info.height, self._info.width, 3):
            raise ValueError(f"frame is {frame.image.shape}, the video {self._info.width}x{self._info.height}")
        with self._reported():
            if self._origin is None:
                self._begin(frame.time)
            self._mux(self._stream.encode(self._picture(frame)))

    def finish(self) -> None:
        """Flush the encoder, copy the rest of the sound, and give the file its name.

        Raises:
            OutputError: the disk is full, the encoder failed, or no frame was written; nothing is left.
        """
        try:
            with self._reported():
                if self._origin is None:
                    raise OutputError(f"{self._path}: there was no frame to write. Nothing was written.")
                self._mux(self._stream.encode(None))
                self._mux_last()
                if self._audio is not None:
                    self._audio.copy()
                    self._audio.close()
                self._output.close()
            self._pending.commit()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave nothing."""
        for held in (self._audio, getattr(self, "_output", None)):
            # Closing writes what is buffered, and may fail for the reason that led here.
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                if held is not None:
                    held.close()
        self._pending.discard()

    def _open(self, keep_metadata: bool) -> OutputContainer:
        options = dict(self._kind.options)
        if keep_metadata and "movflags" in options:
            options["movflags"] += "+use_metadata_tags"
        output = av.open(str(self._pending.temporary), "w", format=self._kind.format, container_options=options)
        output.flags |= _MUXER_BITEXACT
        return output

    def _add_stream(self) -> VideoStream:
        codec = self._encoding.codec or self._kind.codec
        rate = self._info.average_rate or _DEFAULT_RATE
        stream = _new_stream(self._output, codec, rate.limit_denominator(1 << 16), self._path)
        context = stream.codec_context
        block = self._encoding.macro_block_size
        context.width, context.height = (-(-side // block) * block for side in (self._info.width, self._info.height))
        context.pix_fmt = pixel_format(self._encoding, stream.codec, context.width, context.height, self._path)
        context.time_base = stream.time_base = time_base(self._info, self._kind, codec)
        context.sample_aspect_ratio = self._info.pixel_aspect
        context.thread_count = 0
        context.flags |= _CODEC_BITEXACT
        self._look = Look.like(self._info, context.pix_fmt, context.height)
        context.color_range = self._look.tags.range
        context.colorspace = self._look.tags.matrix
        context.color_primaries = self._look.tags.primaries
        context.color_trc = self._look.tags.transfer
        if self._encoding.bitrate is not None:
            context.bit_rate = self._encoding.bitrate
        quantizer = self._encoding.codec_quantizer(codec)
        if quantizer is not None:
            context.qscale = True
            context.global_quality = quantizer * 118  # FF_QP2LAMBDA
        context.options = self._encoding.codec_options(codec)
        if self._kind.constant_rate:
            context.options |= {"bf": "0"}  # AVI has no presentation times, so pictures must come in order
        return stream

    def _refuse_leftovers(self) -> None:
        for name in self._stream.codec_context.options:
            raise UsageError(f"{self._path}: the encoder {self._stream.codec_context.name} has no option {name!r}.")

    def _begin(self, first: Fraction) -> None:
        start, end = self._span
        self._origin = Fraction(0) if start is None else first
        if self._audio is not None:
            self._audio.begin(None if start is None else first, end, self._origin)

    def _picture(self, frame: Frame) -> VideoFrame:
        rgb = VideoFrame.from_numpy_buffer(np.ascontiguousarray(frame.image), "rgb24")
        context = self._stream.codec_context
        picture = self._convert.reformat(
            rgb,
            width=context.width,
            height=context.height,
            format=context.pix_fmt,
            interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND,
            src_color_range=RANGE_FULL,
            dst_colorspace=self._look.swscale_matrix,
            dst_color_range=self._look.range,
        )
        base = context.time_base
        picture.pts = max(round((frame.time - (self._origin or 0)) / base), self._last + 1)
        picture.time_base = base
        self._last = picture.pts
        shown = frame.duration or 1 / (self._info.average_rate or _DEFAULT_RATE)
        self._durations[picture.pts] = max(1, round(shown / base))
        self._end = picture.pts + self._durations[picture.pts]
        if self._first_pts is None:
            self._first_pts = picture.pts
        return picture

    def _mux(self, packets: Sequence[Packet[Any]]) -> None:
        for packet in packets:
            for filtered in [packet] if self._filter is None else self._filter.filter(packet):
                filtered.stream = self._stream
                filtered.duration = self._durations.pop(filtered.pts or 0, 0)
                self._mux_held()
                self._held = filtered
                if self._first_dts is None:
                    self._first_dts = filtered.dts or 0

    def _mux_held(self) -> None:
        if self._held is None:
            return
        if self._audio is not None:
            self._audio.copy(until=(self._held.dts or 0) * self._held.time_base + (self._origin or 0))
        self._output.mux(self._held)

    def _mux_last(self) -> None:
        if self._held is not None and self._kind.format in {"mp4", "mov"}:
            # MP4 stores distances of decoding times; the last one has to fill up what is shown (movenc sums them up).
            shown = self._end - (self._first_pts or 0)
            self._held.duration = max(1, shown - ((self._held.dts or 0) - (self._first_dts or 0)))
        self._mux_held()
        self._held = None

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Errors of FFmpeg and of the operating system become one line about this file."""
        try:
            yield
        except av.FFmpegError as error:
            code = error.errno if isinstance(error.errno, int) else 0
            if isinstance(error, OSError):
                raise output_error(OSError(code, error.strerror), self._path) from error
            reason = error.strerror or type(error).__name__
            raise OutputError(
                f"{self._path}: the encoder {self._encoding.codec or self._kind.codec} failed ({reason}); "
                "try another codec, preset or pixel format. Nothing was written."
            ) from error
        except OSError as error:
            raise output_error(error, self._path) from error


def time_base(info: VideoInfo, kind: Container, codec: str) -> Fraction:
    """The unit of time in which frames are encoded: the source's, where codec and container can count in it."""
    rate = info.average_rate or _DEFAULT_RATE
    if kind.constant_rate:
        return 1 / rate.limit_denominator(1001)
    if codec in {"mpeg4", "libxvid"} and info.time_base.denominator > 65_535:
        return Fraction(1, 60_000)  # MPEG-4 part 2 counts in 16 bits; NTSC and film rates stay exact
    return info.time_base


def _new_stream(output: OutputContainer, codec: str, rate: Fraction, path: Path) -> VideoStream:
    try:
        if av.Codec(codec, "w").type != "video":
            raise ValueError("no video encoder")
        stream: Any = output.add_stream(codec, rate=rate)
    except (ValueError, av.FFmpegError) as error:
        known = "libx264 libx265 libvpx-vp9 libsvtav1 mpeg4 mjpeg ffv1"
        raise UsageError(
            f"{path}: {path.suffix} with the encoder {codec!r} is not possible; video encoders are {known}."
        ) from error
    video: VideoStream = stream
    return video
