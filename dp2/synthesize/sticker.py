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

_Rgba = NDArray[np.uint8]
# The picture and its halves, quarters, … each (h, w, 4): shrinking starts from the next larger one. RGB is already
# multiplied by alpha, so that resampling does not drag in the colour of transparent pixels.
Sticker = tuple[_Rgba, ...]

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
    if shrink < 1:
        pixels = _resized(pixels, *(max(round(side * shrink), 1) for side in pixels.shape[1::-1]))
    return _halvings(pixels)


def smiley(side: int = 512) -> Sticker:
    """A drawn face that nobody has, `side` pixels wide and high."""
    fine = 2  # drawn larger and shrunk: smooth outlines
    big = side * fine
    canvas = np.zeros((big, big, 4), np.uint8)
    centre, ink = (big // 2, big // 2), (70, 50, 20, 255)
    cv2.circle(canvas, centre, big // 2 - 1, (250, 205, 70, 255), cv2.FILLED)
    for x in (0.34, 0.66):
        cv2.ellipse(canvas, (int(x * big), int(0.4 * big)), (big // 18, big // 11), 0, 0, 360, ink, cv2.FILLED)
    cv2.ellipse(canvas, (big // 2, int(0.55 * big)), (int(0.26 * big), int(0.22 * big)), 0, 15, 165, ink, big // 28)
    return _halvings(_resized(_premultiplied(canvas), side, side))


def lay_over(pixels: Image, sticker: Sticker, box: Box) -> Image:
    """A copy of `pixels` with the sticker scaled to `box`, which may leave them."""
    x0, y0, x1, y1 = box
    height, width = pixels.shape[:2]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    result = pixels.copy()
    if right <= left or bottom <= top:
        return result
    visible = _scaled(sticker, x1 - x0, y1 - y0, (left - x0, top - y0, right - x0, bottom - y0))
    under = result[top:bottom, left:right]
    mixed = visible[..., :3] + under * (1 - visible[..., 3:] / np.float32(255))
    under[:] = np.rint(mixed.clip(0, 255))
    return result


def _scaled(sticker: Sticker, width: int, height: int, window: Box) -> _Rgba:
    """A window of the sticker at this size."""
    x0, y0, x1, y1 = window
    enough = [level for level in sticker if level.shape[0] >= height and level.shape[1] >= width]
    if enough:
        return _resized(enough[-1], width, height)[y0:y1, x0:x1]
    # Only the window is made: at a face far larger than the frame the rest would not fit into memory.
    scale_x, scale_y = sticker[0].shape[1] / width, sticker[0].shape[0] / height
    to_source = np.array([[scale_x, 0, (x0 + 0.5) * scale_x - 0.5], [0, scale_y, (y0 + 0.5) * scale_y - 0.5]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    window_size = (x1 - x0, y1 - y0)
    enlarged: _Rgba = cv2.warpAffine(sticker[0], to_source, window_size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return enlarged


def _resized(picture: _Rgba, width: int, height: int) -> _Rgba:
    """Area mean where it shrinks, bicubic where it grows."""
    shrinks = width < picture.shape[1] and height < picture.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    scaled: _Rgba = cv2.resize(picture, (width, height), interpolation=method)
    return scaled


def _halvings(picture: _Rgba) -> Sticker:
    levels = [picture]
    while min(levels[-1].shape[:2]) >= 32:
        height, width = levels[-1].shape[:2]
        levels.append(_resized(levels[-1], width // 2, height // 2))
    return tuple(levels)


def _premultiplied(rgba: _Rgba) -> _Rgba:
    sticker = rgba.copy()
    sticker[..., :3] = np.rint(rgba[..., :3] * (rgba[..., 3:] / np.float32(255)))
    return sticker
