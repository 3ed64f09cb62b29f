"""Which rectangle around a face or a body a generator sees: integer arithmetic, equal to the published pipeline.

Boxes are x0 y0 x1 y1 in pixels, half-open, and may leave the frame. Source of the rules: DeepPrivacy2's
`detection/box_utils.py` (bodies) and `detection/box_utils_fdf.py` (faces), restated; proven by the case `pipeline`.
"""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from dp2.types import Box


def whole(box: NDArray[np.float32]) -> Box:
    """A box on whole pixels, halves to even as torch rounds."""
    x0, y0, x1, y1 = (int(value) for value in np.rint(box))
    return x0, y0, x1, y1


def square(box: Box, growth: float) -> Box:
    """A square around the centre, `1 + growth` times the longer side; it may leave the frame.

    Faces of FDF256 are cut with growth 0.4.
    """
    x0, y0, x1, y1 = box
    centre_x, centre_y = x0 + (x1 - x0) // 2, y0 + (y1 - y0) // 2
    half = int(max(x1 - x0, y1 - y0) * (1 + growth) // 2)
    return centre_x - half, centre_y - half, centre_x + half, centre_y + half


def fitted_square(box: Box, growth: float, height: int, width: int) -> Box:
    """A square inside the frame, grown by `growth` of its side on each side as far as there is room.

    Where the frame has none, the square of twice the growth that leaves it. Faces of FDF128 are cut with growth 0.35.
    """
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    if side <= min(height, width):
        # The shorter axis is lengthened, moved into the frame, then both are grown alike.
        left = x0 if x1 - x0 == side else _shifted(x0, side - (x1 - x0), side, width)
        top = y0 if y1 - y0 == side else _shifted(y0, side - (y1 - y0), side, height)
        grow = min((height - side) // 2, (width - side) // 2, int(side * growth))
        if grow > 0:
            left, top = (
                _shifted(left, 2 * grow, side + 2 * grow, width),
                _shifted(top, 2 * grow, side + 2 * grow, height),
            )
            side += 2 * grow
        inside = left >= 0 and top >= 0 and left + side <= width and top + side <= height
        if inside and left <= x0 and top <= y0 and left + side >= x1 and top + side >= y1:
            return left, top, left + side, top + side
    return square(box, 2 * growth)


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


def _shifted(start: int, grown: int, length: int, limit: int) -> int:
    """Where an interval begins that grew by `grown` around its middle to `length`, moved into [0, limit]."""
    start = max(0, start - grown // 2)
    return min(start, limit - length)
