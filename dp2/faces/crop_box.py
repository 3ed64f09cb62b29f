"""Which rectangle around a face a generator sees: integer arithmetic, equal to the published pipeline.

Boxes are x0 y0 x1 y1 in pixels, half-open, and may leave the frame. Source of the rules: DeepPrivacy2's
`detection/box_utils_fdf.py`, restated; proven by the case `pipeline`. Bodies: `dp2.geometry.bodies`.
"""

from __future__ import annotations

from dp2.geometry.bodies import clipped as clipped
from dp2.geometry.bodies import whole as whole
from dp2.types import Box


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


def _shifted(start: int, grown: int, length: int, limit: int) -> int:
    """Where an interval begins that grew by `grown` around its middle to `length`, moved into [0, limit]."""
    start = max(0, start - grown // 2)
    return min(start, limit - length)
