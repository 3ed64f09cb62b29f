"""Reads an animated GIF or WebP as a stream of RGB frames."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pil

from dp2.errors import MediaError, UnreadableMedia, UnsupportedMedia
from dp2.media.video_info import RGB_MATRIX, Colour, VideoInfo
from dp2.source.timing import exact_rate, resample
from dp2.source.video import limited_size, span_info
from dp2.source.whole import is_cut_off
from dp2.types import Frame, Image

_log = logging.getLogger(__name__)
MAX_FRAME_PIXELS = 50_000_000  # several frames are in memory at a time

_UNSAID = 100  # ms: what browsers do with durations of 0


class AnimationSource:
    """The frames of a GIF or WebP, composed as shown, on white where they are transparent. Can be iterated repeatedly.

    Takes the same arguments as `VideoSource`, has the same attributes and raises the same errors; frames are
    (H, W, 3) uint8 RGB.

    Args:
        max_pixels: larger pictures are refused; so are those of more than `MAX_FRAME_PIXELS`.

    Raises:
        UnsupportedMedia: too large, or a frame is larger than the first; viewers differ on what they show of that.
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
        with self._open() as image:
            size = f"{self._path}: {image.width}x{image.height}"
            if image.width * image.height > max_pixels:
                raise UnsupportedMedia(f"{size} is too large; see --max-pixels.")
            if image.width * image.height > MAX_FRAME_PIXELS:
                raise UnsupportedMedia(f"{size} is too large for an animation; make it smaller first.")
            width, height = limited_size(image.width, image.height, max_res)
            self._stored = _info(self._path, image)
            transparent = "transparency" in image.info or image.mode in {"RGBA", "LA"}
        self.info: VideoInfo = span_info(
            replace(self._stored, width=width, height=height), self._start, self._end, self._rate
        )
        self.notes: tuple[str, ...] = ("its transparency becomes white",) if transparent else ()

    def __iter__(self) -> Iterator[Frame]:
        frames: Iterable[Frame] = self._span()
        return iter(frames if self._rate is None else resample(frames, self._rate))

    def _span(self) -> Iterator[Frame]:
        index = 0
        for frame in self._frames():
            if self._end is not None and frame.time >= self._end:
                return
            if self._start is None or frame.time >= self._start:
                yield replace(frame, index=index)
                index += 1

    def _frames(self) -> Iterator[Frame]:
        time = Fraction(0)
        with self._open() as image:
            total = self._stored.frames  # None: counting them failed, and so will reading
            for read in count():
                if read == total:
                    break
                try:
                    pixels, duration = self._frame(image, read)
                except (MediaError, MemoryError):
                    raise
                except Exception as error:  # Pillow raises nearly anything on damaged files
                    self._report(read, total, error)
                    return
                yield Frame(pixels, read, time, duration)
                time += duration
            if is_cut_off(self._path):
                self._report(read, total, None)

    def _frame(self, image: Pil.Image, index: int) -> tuple[Image, Fraction]:
        with _decoding(self._path):
            image.seek(index)
            size = (self._stored.width, self._stored.height)
            if image.size != size:  # decoding would take memory for it
                raise UnsupportedMedia(
                    f"{self._path}: frame {index} has {image.width}x{image.height} pixels, the animation "
                    f"{size[0]}x{size[1]}; make it anew. Nothing was written."
                )
            pixels = self._pixels(image)
        return pixels, _duration(image)

    def _pixels(self, image: Pil.Image) -> Image:
        rgba = image.convert("RGBA")
        pixels = np.asarray(rgba)
        if (pixels[..., 3] < 255).any():
            pixels = np.asarray(Pil.alpha_composite(Pil.new("RGBA", rgba.size, "white"), rgba))
        rgb = np.ascontiguousarray(pixels[..., :3])
        size = (self.info.width, self.info.height)
        if size != (image.width, image.height):
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        return rgb

    @contextlib.contextmanager
    def _open(self) -> Iterator[Pil.Image]:
        try:
            with _decoding(self._path):
                image = Pil.open(self._path, formats=("GIF", "WEBP"))
        except (MediaError, MemoryError):
            raise
        except Exception as error:
            empty = self._path.is_file() and self._path.stat().st_size == 0
            what = "is empty" if empty else "is not a GIF or WebP that can be read; check what kind of file it is"
            raise UnreadableMedia(f"{self._path}: {what}. Nothing was written.") from error
        with image:
            yield image

    def _report(self, read: int, total: int | None, error: Exception | None) -> None:
        of = f"{read} frames were read" if total is None else f"{read} of {total} frames were read"
        if self._salvage:
            _log.warning("%s: the file ends in frame %d; %s, the rest is left out.", self._path, read, of)
            self.notes = (*self.notes, f"the file ends in frame {read}; {of}, the rest is left out.")
            return
        raise UnreadableMedia(
            f"{self._path}: the file ends in frame {read}; {of}. Nothing was written. "
            "Use --salvage to keep what was whole."
        ) from error


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """What Pillow thinks too large is said as such, and without warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pil.DecompressionBombWarning)
            yield
    except Pil.DecompressionBombError as error:
        raise UnsupportedMedia(f"{path}: its pictures are too large; make them smaller first.") from error


def _info(path: Path, image: Pil.Image) -> VideoInfo:
    width, height = image.size
    frames, duration = None, Fraction(0)
    with contextlib.suppress(MediaError), _decoding(path):  # what is wrong is said when frames are read
        try:
            known = int(getattr(image, "n_frames", 1))
            for index in range(known):
                image.seek(index)
                if image.size != (width, height):
                    break
                if image.format == "WEBP":
                    image.load()  # only then does Pillow know this frame's duration
                duration += _duration(image)
            image.seek(0)
            frames = known
        except Pil.DecompressionBombError:
            raise
        except Exception as error:
            _log.debug("%s: %s", path, error)
    loop = image.info.get("loop")
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        average_rate=frames / duration if frames and duration else None,
        time_base=Fraction(1, 1000),
        frames=frames,
        duration=duration if frames and duration else None,
        colour=Colour(matrix=RGB_MATRIX),
        coded_height=height,
        codec=(image.format or "").lower(),
        loop=None if loop is None else int(loop),
    )


def _duration(image: Pil.Image) -> Fraction:
    return Fraction(round(image.info.get("duration") or _UNSAID), 1000)
