"""What a source knows about a video and a sink needs to write one like it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

# Values of ISO/IEC 23091-2 (H.273), which FFmpeg uses as they are; range as in AVColorRange.
RGB_MATRIX, BT709, UNSPECIFIED, BT470BG, SMPTE170M, BT2020 = 0, 1, 2, 5, 6, 9
RANGE_UNSPECIFIED, RANGE_LIMITED, RANGE_FULL = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Colour:
    """How the numbers of a stream mean colours: code points of ISO/IEC 23091-2.

    Attributes:
        matrix: RGB to YCbCr; 0 = stored as RGB, 2 = not said.
        range: AVColorRange: 0 = not said, 1 = limited (16-235), 2 = full (0-255).
        primaries: 2 = not said.
        transfer: 2 = not said.
    """

    matrix: int = UNSPECIFIED
    range: int = RANGE_UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """A stream of frames as a source delivers it.

    Attributes:
        path: where it comes from.
        width, height: of the delivered frames, in pixels: rotated, scaled.
        average_rate: frames per second, None where unknown.
        time_base: times of frames are multiples of this many seconds.
        frames: how many will come, exactly or estimated from duration and rate; None where unknown.
        duration: in seconds, None where unknown.
        end: when the last frame of the whole stream stops being shown, in seconds; None where unknown.
        pixel_aspect: width over height of one pixel as shown.
        rotation: degrees counter-clockwise by which frames were turned to stand upright.
        colour: as tagged in the file.
        coded_height: height before rotation and scaling: decides what untagged colours mean.
        pixel_format: of the file, in FFmpeg's words.
        codec: of the file, in FFmpeg's words.
        audio: codecs of its audio streams.
        loop: of an animation: 0 = forever, n = n repetitions after the first run, None = plays once.
        origin: seconds that were subtracted from the container's timestamps (MPEG-TS and PS start anywhere).
    """

    path: Path
    width: int
    height: int
    average_rate: Fraction | None = None
    time_base: Fraction = Fraction(1, 90_000)
    frames: int | None = None
    duration: Fraction | None = None
    end: Fraction | None = None
    pixel_aspect: Fraction = Fraction(1)
    rotation: int = 0
    colour: Colour = Colour()
    coded_height: int = 0
    pixel_format: str = "rgb24"
    codec: str = ""
    audio: tuple[str, ...] = ()
    loop: int | None = None
    origin: Fraction = Fraction(0)


def meant_matrix(colour: Colour, height: int) -> int:
    """The matrix that players use: as tagged, else BT.709 from 720 lines on and BT.601 below."""
    if colour.matrix != UNSPECIFIED:
        return colour.matrix
    return BT709 if height >= 720 else SMPTE170M


def meant_range(colour: Colour, pixel_format: str) -> int:
    """The range that players use: as tagged, else full for yuvj formats and limited for others."""
    if colour.range != RANGE_UNSPECIFIED:
        return colour.range
    return RANGE_FULL if pixel_format.startswith("yuvj") else RANGE_LIMITED


def swscale_matrix(matrix: int) -> int:
    """The number that swscale (SWS_CS_*) has for a matrix."""
    return {BT709: 1, 4: 4, 7: 7, BT2020: 9, 10: 9}.get(matrix, 5)
