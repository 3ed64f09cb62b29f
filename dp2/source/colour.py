"""From the pixel modes of picture files to 8-bit RGB and alpha."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import ImageCms

from dp2.errors import UnsupportedMedia
from dp2.source.profile import rebuilt_profile, to_srgb
from dp2.types import Image

_BAND = 1 << 22  # pixels
_PRINT = {"CMYK": "CMYK", "LAB": "Lab "}


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Pixels in RGB.

    Attributes:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8 or None.
        icc_profile: that of `image`, of known tags only; None = sRGB.
        notes: words to be said about the conversion.
        reduced: `notes` say already that there were more than 8 bits.
    """

    image: Image
    alpha: NDArray[np.uint8] | None
    icc_profile: bytes | None
    notes: tuple[str, ...] = ()
    reduced: bool = False


def to_rgb(picture: Pil.Image, *, depth: int = 8, inverted: bool = False, shifted: bool = False) -> Pixels:
    """Convert a loaded picture of any mode.

    CMYK and Lab go through their ICC profile to sRGB; where there is none, CMYK is converted by formula. Deep
    greyscale and floating point are scaled to 8 bits. A profile for RGB or grey is rebuilt without what colour does not
    need; where that would change colours, they are converted to sRGB.

    Args:
        picture: loaded.
        depth: bits per channel in the file; where Pillow gives 16-bit numbers, white is 2^depth - 1.
        shifted: these numbers were brought to 16 bits by zeros behind them.
        inverted: 0 is white in the file (Pillow turns this round for up to 8 bits, but not for deep greyscale).

    Raises:
        UnsupportedMedia: numbers that have no meaning as brightness, such as 32-bit integers.
    """
    profile = picture.info.get("icc_profile") or None
    if picture.mode in _PRINT:
        return _from_print(picture, profile)
    notes: list[str] = []
    deep = picture.mode.startswith("I") or picture.mode == "F"
    if deep:
        picture, what = _deep_grey(picture, depth if 8 < depth < 16 else 16, inverted, shifted)
        notes.append(f"{what} per pixel became 8 bits.")
    if profile is not None and _space(profile) != ("GRAY" if picture.mode in ("1", "L", "LA", "La") else "RGB "):
        notes.append("its colour profile does not fit the picture and was left out.")
        profile = None
    alpha = None
    if picture.has_transparency_data:
        picture = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        alpha = np.asarray(picture.getchannel("A"))
    if profile is not None:
        picture, profile, said = _safe_profile(picture, profile)
        notes += said
    return Pixels(_rgb(picture), alpha, profile, tuple(notes), reduced=deep)


def _rgb(picture: Pil.Image) -> Image:
    """The colours of a picture of any mode, without a second picture of its size in memory."""
    width, height = picture.size
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = cut(picture, (0, top, width, min(top + rows, height)))
        out[top : top + rows] = np.asarray(band if band.mode == "RGB" else band.convert("RGB"))
    return out


def cut(picture: Pil.Image, box: tuple[int, int, int, int]) -> Pil.Image:
    """A part of a picture: left, upper, right, lower. Pillow's own `crop` obeys a limit of the whole process."""
    left, upper, right, lower = box
    return picture.resize((right - left, lower - upper), Pil.Resampling.NEAREST, box=box)


def _safe_profile(picture: Pil.Image, profile: bytes) -> tuple[Pil.Image, bytes | None, list[str]]:
    """The picture with a profile of nothing but colour; its colours in sRGB and None where there is no such profile."""
    rebuilt = rebuilt_profile(profile)
    if rebuilt is not None:
        return picture, rebuilt, []
    try:
        source = picture.convert("L" if _space(profile) == "GRAY" else "RGB")
        return to_srgb(source, profile), None, ["its colours became sRGB, as its colour profile cannot be kept."]
    except (OSError, ImageCms.PyCMSError):
        return picture, None, ["its colour profile cannot be used and was left out."]


def _from_print(picture: Pil.Image, profile: bytes | None) -> Pixels:
    srgb = ImageCms.createProfile("sRGB")
    source: Any = None
    if profile is not None and _space(profile) == _PRINT[picture.mode]:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    elif picture.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    name = "CMYK" if picture.mode == "CMYK" else "Lab"
    if source is not None:
        try:
            rgb = ImageCms.profileToProfile(
                picture, source, srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )  # fmt: skip
        except ImageCms.PyCMSError:
            rgb = None
        if rgb is not None:
            return Pixels(_rgb(rgb), None, None, (f"{name} colours became sRGB.",))
        if name == "Lab":
            raise UnsupportedMedia("its Lab colours cannot be converted; save it as RGB first.")
    notes = (f"{name} colours became sRGB by formula, as there is no usable colour profile; they may look different.",)
    return Pixels(_rgb(picture), None, None, notes)


def _deep_grey(picture: Pil.Image, depth: int, inverted: bool, shifted: bool) -> tuple[Pil.Image, str]:
    values = np.asarray(picture)
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise UnsupportedMedia("its floating-point values leave 0 to 1; save it with 8 or 16 bits first.")
        grey, what = np.rint(values * 255).astype(np.uint8), "32-bit floating point"
    else:
        values = values >> (16 - depth) if shifted else values
        white = 2**depth - 1
        if values.min() < 0 or values.max() > white:
            raise UnsupportedMedia(f"its values are no {depth}-bit brightness; save it with 8 or 16 bits first.")
        grey, what = ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8), f"{depth} bits"
    return Pil.fromarray(255 - grey if inverted else grey), what


def _space(profile: bytes) -> str | None:
    """The colour space of an ICC profile, four letters; None if it is not one."""
    try:
        return str(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space).ljust(4)
    except (OSError, ImageCms.PyCMSError):
        return None
