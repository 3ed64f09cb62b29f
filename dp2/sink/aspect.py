"""Pixels that are not square, in files that cannot say so."""

from __future__ import annotations

from fractions import Fraction

from dp2.media.video_info import VideoInfo
from dp2.sink.containers import Container

# These write the shape of a pixel into the stream itself. MP4 and MOV say it for every codec; Matroska and WebM could,
# but PyAV cannot tell them.
_SAID_BY_CODEC = frozenset({"libx264", "libx265", "mpeg4", "libxvid", "mjpeg"})
_SAID_BY_FORMAT = frozenset({"mp4", "mov"})
_LONGEST = 8192  # pixels a side to which frames are stretched
_MOST = Fraction(16)  # the shape of no real pixel lies beyond


def written_shape(info: VideoInfo, kind: Container, codec: str) -> tuple[int, int, Fraction]:
    """In what size frames are written, and the pixel aspect that the file then says.

    Returns:
        width, height, pixel aspect: those of `info`, or stretched to square pixels where the file cannot say more.
    """
    width, height, aspect = info.width, info.height, info.pixel_aspect
    if aspect == 1 or kind.format in _SAID_BY_FORMAT or codec in _SAID_BY_CODEC:
        return width, height, aspect
    if not 1 / _MOST <= aspect <= _MOST:
        return width, height, Fraction(1)
    if aspect > 1:
        wider = _even(width * aspect)
        return (wider, height, Fraction(1)) if wider <= _LONGEST else (width, _even(height / aspect), Fraction(1))
    higher = _even(height / aspect)
    return (width, higher, Fraction(1)) if higher <= _LONGEST else (_even(width * aspect), height, Fraction(1))


def _even(side: Fraction) -> int:
    return max(2, 2 * round(side / 2))
