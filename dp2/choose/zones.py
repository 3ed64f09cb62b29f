"""Places in a frame: boxes and polygons, in pixels or as shares of the frame's sides."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError

Points = NDArray[np.float64]  # (N, 2) x, y in pixels
_HOW = "write a box as x0,y0,x1,y1 or a polygon as x,y x,y x,y …; numbers all up to 1 are shares of the frame"


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon.

    Attributes:
        corners: x, y of each, at least three.
        shares: they are shares of width and height; else pixels.

    Raises:
        UsageError: fewer than three corners, a number that is negative or not finite, or no area.
    """

    corners: tuple[tuple[float, float], ...]
    shares: bool = False

    def __post_init__(self) -> None:
        flat = [value for corner in self.corners for value in corner]
        if len(self.corners) < 3 or not all(math.isfinite(value) and value >= 0 for value in flat):
            raise UsageError(f"zone {self.corners}: three corners or more, no number below 0.")
        if cv2.contourArea(np.asarray(self.corners, np.float32)) <= 0:
            raise UsageError(f"zone {self.corners}: holds no area.")

    @property
    def is_box(self) -> bool:
        """Whether its sides run along the frame's."""
        xs, ys = ({corner[axis] for corner in self.corners} for axis in (0, 1))
        return len(self.corners) == 4 and len(xs) == 2 and len(ys) == 2

    def outline(self, height: int, width: int) -> Points:
        """(N, 2) corners in pixels of a frame of that size."""
        scale = (width, height) if self.shares else (1, 1)
        return np.asarray(self.corners, np.float64) * scale

    def box(self, height: int, width: int) -> NDArray[np.float32]:
        """(4,) x0 y0 x1 y1 around it in pixels."""
        outline = self.outline(height, width)
        return np.concatenate([outline.min(axis=0), outline.max(axis=0)]).astype(np.float32)

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """(H, W) bool: every pixel that it touches."""
        canvas = np.zeros((height, width), np.uint8)
        cv2.fillPoly(canvas, [np.rint(self.outline(height, width)).astype(np.int32)], 1)
        return canvas.astype(bool)

    def holds(self, points: Points, height: int, width: int) -> NDArray[np.bool_]:
        """(N,) bool: which points lie inside or on the edge, in pixels of a frame of that size."""
        outline = self.outline(height, width).astype(np.float32)
        inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in points]
        return np.asarray(inside, bool)


def parse_zone(zone: str | Sequence[float] | Sequence[Sequence[float]] | Zone) -> Zone:
    """A zone from what people write.

    Args:
        zone: "x0,y0,x1,y1" or "x,y x,y x,y …"; or four numbers; or pairs of numbers. If no number is above 1, they
            are shares of the frame's width and height, else pixels.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(zone, Zone):
        return zone
    try:
        pairs = _pairs(zone)
    except (ValueError, TypeError) as error:
        raise UsageError(f"zone {zone!r}: {_HOW}.") from error
    if len(pairs) == 2:
        (x0, y0), (x1, y1) = pairs
        pairs = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return Zone(tuple(pairs), shares=all(value <= 1 for pair in pairs for value in pair))


def _pairs(zone: str | Sequence[float] | Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Two opposite corners of a box, or the corners of a polygon. Raises ValueError or TypeError for anything else."""
    if isinstance(zone, str):
        words = zone.split()
        listed = [[float(number) for number in re.split(",", word)] for word in words]
        zone = listed[0] if len(listed) == 1 else listed
    plain = np.asarray(zone, np.float64)
    if plain.shape == (4,):
        plain = plain.reshape(2, 2)
    elif plain.ndim != 2 or plain.shape[1] != 2 or len(plain) < 3:
        raise ValueError("neither four numbers nor three pairs or more")
    return [(float(x), float(y)) for x, y in plain]
