"""The geometry of bodies: which rectangle around one a generator sees, and which part of it is painted anew.

Synthesis cuts by it, and detection asks it which faces a body covers. Integer arithmetic, equal to the published
pipeline. Boxes are x0 y0 x1 y1 in pixels, half-open, and may leave the frame. Source of the rules: DeepPrivacy2's
`detection/box_utils.py`, `detection/utils.py` and `detection/structures.py`, restated; proven by the case `pipeline`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.types import Box


@dataclass(frozen=True, kw_only=True)
class BodyRule:
    """How bodies are cut.

    Attributes:
        size: (height, width) of crops in pixels.
        margin, background: as in `body_box`.
        dilation: radius by which the mask is dilated in the crop, as a share of the root of the crop's area.
    """

    size: tuple[int, int] = (288, 160)
    margin: float = 0.1
    background: float = 0.3
    dilation: float = 0.02

    def box(self, mask: NDArray[np.bool_], surface_box: NDArray[np.float32] | None) -> Box:
        """The rectangle of a body with a mask (H, W) that is not empty; it holds its surface too."""
        inner = mask_box(mask)
        if surface_box is not None:
            inner = around(inner, clipped(whole(surface_box), *mask.shape))
        aspect = self.size[0] / self.size[1]
        area = int(mask.sum())
        return body_box(inner, area, *mask.shape, aspect=aspect, margin=self.margin, background=self.background)

    def outline(self, mask: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
        """(h, w) bool: the mask in the crop of `box`."""
        return nearest(padded(mask, box), self.size).astype(np.bool_)

    def hole(self, outline: NDArray[np.bool_], box: Box, frame: tuple[int, ...]) -> NDArray[np.bool_]:
        """(h, w) bool: the outline, dilated, but not into what lies beyond a frame of (height, width)."""
        radius = int(sqrt(self.size[0] * self.size[1]) * self.dilation)
        return dilated(outline, radius) & inside_frame(box, self.size, frame)

    def hole_box(self, mask: NDArray[np.bool_], surface_box: NDArray[np.float32] | None = None) -> Box:
        """The smallest box around what is painted anew of a body, in pixels of the frame."""
        box = self.box(mask, surface_box)
        hole = self.hole(self.outline(mask, box), box, mask.shape)
        if not hole.any():
            return box[0], box[1], box[0], box[1]
        left, top, right, bottom = mask_box(hole)
        columns, rows = (
            [int(value * length / cells) for value in pair]
            for pair, length, cells in (
                ((left, right), np.float32(box[2] - box[0]), self.size[1]),
                ((top, bottom), np.float32(box[3] - box[1]), self.size[0]),
            )
        )
        return box[0] + columns[0], box[1] + rows[0], box[0] + columns[1], box[1] + rows[1]


def body_box(box: Box, area: int, height: int, width: int, *, aspect: float, margin: float, background: float) -> Box:
    """The rectangle of a body: a margin, then the aspect ratio, then enough background; it may leave the frame.

    Args:
        box: around the mask.
        area: pixels of the mask.
        height, width: of the frame.
        aspect: height / width of the result.
        margin: share of the root of the box's area by which each axis grows, within the frame.
        background: least share of the result that is not the mask.
    """
    x0, y0, x1, y1 = box
    expansion = int(sqrt((y1 - y0) * (x1 - x0)) * margin)
    x0, x1 = widened(x0, x1, min(x1 - x0 + expansion, width), width)
    y0, y1 = widened(y0, y1, min(y1 - y0 + expansion, height), height)
    if (y1 - y0) / (x1 - x0) < aspect:
        y0, y1 = widened(y0, y1, int((x1 - x0) * aspect), height)
    elif (y1 - y0) / (x1 - x0) > aspect:
        x0, x1 = widened(x0, x1, int((y1 - y0) / aspect), width)
    pixels = (x1 - x0) * (y1 - y0)
    if np.float32(1) - np.float32(area) / np.float32(pixels) <= background:
        factor = sqrt(area / (1 - background) / pixels)
        wanted_width, wanted_height = ceil(factor * (x1 - x0)), ceil(factor * (y1 - y0))
        x0, x1 = widened(x0, x1, wanted_width, width)
        y0, y1 = widened(y0, y1, wanted_height, height)
    return x0, y0, x1, y1


def widened(start: int, end: int, length: int, limit: int) -> tuple[int, int]:
    """An interval of this length around another, moved into [0, limit] as far as that does not leave the other side."""
    missing = length - (end - start)
    start, end = start - missing // 2, end + missing // 2
    end += length - (end - start)
    if start < 0 and end < limit:
        shift = min(-start, limit - end)
        start, end = start + shift, end + shift
    if end > limit and start > 0:
        shift = min(end - limit, start)
        start, end = start - shift, end - shift
    return start, end


def clipped(box: Box, height: int, width: int) -> Box:
    """The part of a box inside the frame; empty (x1 <= x0 or y1 <= y0) where there is none."""
    x0, y0, x1, y1 = box
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def whole(box: NDArray[np.float32]) -> Box:
    """A box on whole pixels, halves to even as torch rounds."""
    x0, y0, x1, y1 = (int(value) for value in np.rint(box))
    return x0, y0, x1, y1


def around(box: Box, other: Box) -> Box:
    """The smallest box around two; an empty `other` does not count."""
    if other[2] <= other[0] or other[3] <= other[1]:
        return box
    return min(box[0], other[0]), min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3])


def mask_box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around the True pixels of (H, W), of which there is at least one."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def padded(picture: NDArray[np.generic], box: Box) -> NDArray[np.generic]:
    """The pixels of a box that may leave the picture, (H, W) or (H, W, C); 0 beyond."""
    x0, y0, x1, y1 = box
    height, width = picture.shape[:2]
    left, top, right, bottom = clipped(box, height, width)
    if (left, top, right, bottom) == box:
        return picture[y0:y1, x0:x1]
    out = np.zeros((y1 - y0, x1 - x0, *picture.shape[2:]), picture.dtype)
    if right > left and bottom > top:
        out[top - y0 : bottom - y0, left - x0 : right - x0] = picture[top:bottom, left:right]
    return out


def dilated(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Dilation of (H, W) by a disk x² + y² <= radius²."""
    axis = np.arange(-radius, radius + 1)
    disk = (axis[:, None] ** 2 + axis**2 <= radius**2).astype(np.uint8)
    grown: NDArray[np.bool_] = cv2.dilate(mask.astype(np.uint8), disk, borderType=cv2.BORDER_CONSTANT) > 0
    return grown


def inside_frame(box: Box, size: tuple[int, int], frame: tuple[int, ...]) -> NDArray[np.bool_]:
    """(h, w) bool of a crop: False in the padding, so that a dilated hole does not reach into it."""
    x0, y0, x1, y1 = box
    beyond = max(0, -x0), max(0, -y0), max(0, x1 - frame[1]), max(0, y1 - frame[0])
    left, top, right, bottom = (int(pad * size[0] / (y1 - y0)) for pad in beyond)  # one factor, as published
    inside = np.zeros(size, np.bool_)
    inside[top : size[0] - bottom, left : size[1] - right] = True
    return inside


def nearest(picture: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.generic]:
    """Nearest neighbour by floor(i * scale) in float32, as torch; (H, W) or (H, W, C)."""
    rows, columns = (_sources(old, new) for old, new in zip(picture.shape[:2], size, strict=True))
    return picture[rows[:, None], columns]


def _sources(old: int, new: int) -> NDArray[np.int64]:
    scale = np.float32(old) / np.float32(new)
    sources: NDArray[np.int64] = np.floor(np.arange(new, dtype=np.float32) * scale).astype(np.int64)
    return np.minimum(sources, old - 1)
