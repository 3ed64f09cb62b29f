"""Pixel format and colours of an encoded video."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from av.codec.codec import Codec

from dp2.errors import UsageError
from dp2.media.video_info import (
    BT709,
    RANGE_FULL,
    RANGE_LIMITED,
    RANGE_UNSPECIFIED,
    RGB_MATRIX,
    SMPTE170M,
    UNSPECIFIED,
    Colour,
    VideoInfo,
    meant_matrix,
    meant_range,
    swscale_matrix,
)
from dp2.sink.encoder import Encoding

_EVEN_ONLY = {"h264", "hevc"}  # in 4:2:0 their size and cropping count in pairs of pixels


@dataclass(frozen=True)
class Look:
    """Colours of the output.

    Attributes:
        tags: what the file says.
        swscale_matrix: SWS_CS_* with which RGB is converted.
        range: AVColorRange of the stored numbers.
    """

    tags: Colour
    swscale_matrix: int
    range: int

    @classmethod
    def like(cls, info: VideoInfo, pix_fmt: str | None, height: int) -> Look:
        """The source's colours, so that every player shows both files alike.

        What the source leaves unsaid stays unsaid, unless players would then guess differently: after scaling across
        the border of BT.601 and BT.709, and for sources that were RGB.
        """
        if info.colour.matrix == RGB_MATRIX or info.pixel_format.startswith(("rgb", "bgr", "gbr", "pal8")):
            matrix = BT709 if height >= 720 else SMPTE170M
            tags = Colour(
                matrix=matrix, range=RANGE_LIMITED, primaries=info.colour.primaries, transfer=info.colour.transfer
            )
            stored = RANGE_LIMITED
        else:
            matrix = meant_matrix(info.colour, info.coded_height or height)
            stored = meant_range(info.colour, info.pixel_format)
            tags = info.colour
            if tags.matrix == UNSPECIFIED and matrix != meant_matrix(tags, height):
                tags = replace(tags, matrix=matrix)
            if tags.range == RANGE_UNSPECIFIED and stored == RANGE_FULL:
                tags = replace(tags, range=RANGE_FULL)
        if (pix_fmt or "").startswith("yuvj"):
            tags, stored = replace(tags, range=RANGE_FULL), RANGE_FULL
        return cls(tags, swscale_matrix(matrix), stored)


def pixel_format(encoding: Encoding, codec: Codec, width: int, height: int, path: Path) -> str:
    """4:2:0, which plays everywhere; for H.264 and H.265 of odd size 4:4:4, which alone keeps the size.

    Raises:
        UsageError: the encoder does not take the pixel format that was asked for.
    """
    known = [form.name for form in codec.video_formats or ()]
    odd = bool((width | height) & 1)
    wanted = encoding.pixel_format
    if wanted is None:
        fallback = known[0] if known else "yuv420p"
        choice = "yuv444p" if odd and codec.canonical_name in _EVEN_ONLY else "yuv420p"
        if codec.canonical_name == "mjpeg":
            choice = "yuvj420p"  # JPEG is full range
        return choice if not known or choice in known else fallback
    if known and wanted not in known:
        raise UsageError(f"{path}: {codec.name} does not take the pixel format {wanted!r}; it takes {' '.join(known)}.")
    if odd and "420" in wanted and codec.canonical_name in _EVEN_ONLY:
        raise UsageError(
            f"{path}: {codec.name} cannot store {width}x{height} as {wanted}; "
            'leave the pixel format out, or give {"macro_block_size": 2} to scale to an even size.'
        )
    return wanted
