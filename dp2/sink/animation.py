"""Writes frames to an animated GIF or WebP that becomes visible only when it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image as Pil

from dp2.errors import OutputError, UsageError
from dp2.media.video_info import VideoInfo
from dp2.sink.atomic import PendingFile, output_error
from dp2.types import Frame, Image

_ONCE, _FOREVER = -1, 0


class AnimationSink:
    """A `Sink` for .gif and .webp.

    Times are rounded to the 1/100 s of GIF and the 1/1000 s of WebP; a GIF frame gets its own palette of 256 colours,
    dithered. The loop count is the source's; what was no animation loops for ever. No metadata is written.

    Args:
        path: the output.
        info: of the source.
        quality: of WebP, 1-100.
        overwrite: replace an existing file.

    Raises:
        UsageError: another suffix.
        OutputError: `path` cannot be written.
    """

    def __init__(self, path: Path | str, info: VideoInfo, *, quality: int = 85, overwrite: bool = False) -> None:
        self._path = Path(path)
        self._info = info
        self._is_gif = self._path.suffix.lower() == ".gif"
        if not self._is_gif and self._path.suffix.lower() != ".webp":
            raise UsageError(f"{self._path}: animations are written as .gif or .webp.")
        self._base = Fraction(1, 100 if self._is_gif else 1000)
        self._first: Fraction | None = None
        self._last = -1
        self._end = Fraction(0)
        self._durations: dict[int, int] = {}
        self._pending = PendingFile(self._path, overwrite=overwrite)
        try:
            with self._reported():
                self._output, self._stream = self._open(quality)
                self._output.start_encoding()
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
            raise ValueError(f"frame is {frame.image.shape}, the animation {self._info.width}x{self._info.height}")
        if self._first is None:
            self._first = frame.time
        time = frame.time - self._first
        shown = frame.duration or 1 / (self._info.average_rate or Fraction(10))
        with self._reported():
            picture = _palette_picture(frame.image) if self._is_gif else _plain_picture(frame.image)
            picture.pts = max(round(time / self._base), self._last + 1)
            picture.time_base = self._base
            self._last = picture.pts
            self._end = time + shown
            self._durations[picture.pts] = max(1, round(self._end / self._base) - picture.pts)
            self._mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Flush the encoder and give the file its name.

        Raises:
            OutputError: the disk is full, the encoder failed, or no frame was written; nothing is left.
        """
        try:
            with self._reported():
                if self._first is None:
                    raise OutputError(f"{self._path}: there was no frame to write. Nothing was written.")
                self._mux(self._stream.encode(None))
                self._output.close()
                if not self._is_gif:
                    _set_last_duration(self._pending.temporary, round(self._end / self._base))
            self._pending.commit()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave nothing."""
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            if hasattr(self, "_output"):
                self._output.close()
        self._pending.discard()

    def _open(self, quality: int) -> tuple[OutputContainer, VideoStream]:
        loop = self._info.loop if self._info.codec in {"gif", "webp"} else _FOREVER
        if loop is None:
            loop = _ONCE if self._is_gif else 1  # WebP counts all runs, GIF those after the first
        elif self._is_gif != (self._info.codec == "gif") and loop > 0:
            loop += -1 if self._is_gif else 1
            loop = loop or _ONCE
        name = "gif" if self._is_gif else "webp"
        output = av.open(str(self._pending.temporary), "w", format=name, container_options={"loop": str(loop)})
        stream: Any = output.add_stream("gif" if self._is_gif else "libwebp_anim", rate=10)
        context = stream.codec_context
        context.width, context.height = self._info.width, self._info.height
        context.pix_fmt = "pal8" if self._is_gif else "bgra"
        context.time_base = stream.time_base = self._base
        context.options = {} if self._is_gif else {"quality": str(quality)}
        return output, stream

    def _mux(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, 0)
            self._output.mux(packet)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            code = error.errno if isinstance(error.errno, int) else 0
            raise output_error(OSError(code, error.strerror), self._path) from error
        except OSError as error:
            raise output_error(error, self._path) from error


def _palette_picture(image: Image) -> VideoFrame:
    quantized = Pil.fromarray(image).quantize(256, dither=Pil.Dither.FLOYDSTEINBERG)
    colours = np.asarray(quantized.getpalette() or [], np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)  # ARGB
    palette[:, 0] = 255
    palette[: len(colours), 1:] = colours
    picture: Any = VideoFrame
    made: VideoFrame = picture.from_ndarray((np.asarray(quantized), palette), format="pal8")
    return made


def _plain_picture(image: Image) -> VideoFrame:
    return VideoFrame.from_ndarray(image, "rgb24").reformat(format="bgra")


def _set_last_duration(path: Path, end: int) -> None:
    """libwebp's encoder guesses how long the last frame is shown; put the truth into its ANMF chunk.

    Chunks: WebP Container Specification, "Extended File Format": identifier, size, payload padded to even length; the
    duration is 24 bits at byte 12 of an ANMF's payload.
    """
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        position, elapsed, last, duration = 12, 0, 0, 0
        while position + 8 <= size:
            file.seek(position)
            head = file.read(8 + 16)
            if head[:4] == b"ANMF":
                elapsed += duration
                last, duration = position + 8 + 12, int.from_bytes(head[20:23], "little")
            position += 8 + (int.from_bytes(head[4:8], "little") + 1) // 2 * 2
        if last and end > elapsed:
            file.seek(last)
            file.write(min(end - elapsed, (1 << 24) - 1).to_bytes(3, "little"))
