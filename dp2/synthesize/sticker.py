"""A picture with transparency to be laid over faces: read, resampled, placed."""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import ImageOps

from dp2.errors import UnreadableMedia
from dp2.types import Box, Image

# (h, w, 4) uint8: RGB already multiplied by alpha, so that resampling does not drag in the colour of transparent
# pixels, and alpha.
Sticker = NDArray[np.uint8]

_MAX_SIDE = 1024  # a photo of 50 megapixels need not be shrunk anew for every face


def load_sticker(path: str | os.PathLike[str]) -> Sticker:
    """Read a picture of any kind that Pillow reads.

    Raises:
        UnreadableMedia: it cannot be read.
    """
    try:
        with Pil.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Pil.DecompressionBombError) as error:
        raise UnreadableMedia(f"{os.fspath(path)}: cannot be read as a picture to lay over faces: {error}.") from error
    pixels = _premultiplied(np.asarray(upright))
    shrink = _MAX_SIDE / max(pixels.shape[:2])
    return pixels if shrink >= 1 else resized(pixels, *(max(round(s * shrink), 1) for s in pixels.shape[1::-1]))


def smiley(side: int = 512) -> Sticker:
    """(side, side, 4): a drawn face that nobody has."""
    fine = 2  # drawn larger and shrunk: smooth outlines
    big = side * fine
    canvas = np.zeros((big, big, 4), np.uint8)
    centre, ink = (big // 2, big // 2), (70, 50, 20, 255)
    cv2.circle(canvas, centre, big // 2 - 1, (250, 205, 70, 255), cv2.FILLED)
    for x in (0.34, 0.66):
        cv2.ellipse(canvas, (int(x * big), int(0.4 * big)), (big // 18, big // 11), 0, 0, 360, ink, cv2.FILLED)
    cv2.ellipse(canvas, (big // 2, int(0.55 * big)), (int(0.26 * big), int(0.22 * big)), 0, 15, 165, ink, big // 28)
    return resized(_premultiplied(canvas), side, side)


def resized(sticker: Sticker, width: int, height: int) -> Sticker:
    """Area mean where it shrinks, bicubic where it grows."""
    shrinks = width < sticker.shape[1] and height < sticker.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    scaled: Sticker = cv2.resize(sticker, (width, height), interpolation=method)
    return scaled


def lay_over(pixels: Image, sticker: Sticker, box: Box) -> Image:
    """A copy of `pixels` with the sticker scaled to `box`, which may leave them."""
    x0, y0, x1, y1 = box
    height, width = pixels.shape[:2]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    result = pixels.copy()
    if right <= left or bottom <= top:
        return result
    visible = resized(sticker, x1 - x0, y1 - y0)[top - y0 : bottom - y0, left - x0 : right - x0]
    under = result[top:bottom, left:right]
    mixed = visible[..., :3] + under * (1 - visible[..., 3:] / np.float32(255))
    under[:] = np.rint(mixed.clip(0, 255))
    return result


def _premultiplied(rgba: NDArray[np.uint8]) -> Sticker:
    sticker = rgba.copy()
    sticker[..., :3] = np.rint(rgba[..., :3] * (rgba[..., 3:] / np.float32(255)))
    return sticker
