"""Where the pixels that are shown lie in a decoded frame: what is cut off, mirrored and turned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dp2.types import Image

_RIGHT_ANGLE = 1.0  # degrees off within which a turn counts as one by 90 degrees, as in FFmpeg
_SHEAR = 0.05  # cosine between the axes above which a matrix is no turn


@dataclass(frozen=True)
class Crop:
    """How many pixels at each edge of a decoded frame are not shown."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """What is left of a size."""
        return width - self.left - self.right, height - self.top - self.bottom

    def fits(self, width: int, height: int) -> bool:
        """Whether something is left of a size and no edge lies outside."""
        return min(self.left, self.top, self.right, self.bottom) >= 0 and min(self.size(width, height)) > 0


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become upright ones: swap the axes, then mirror, then turn.

    Attributes:
        swap: rows become columns.
        mirror_x, mirror_y: afterwards, left-right and top-bottom.
        turn: afterwards, degrees clockwise; the picture grows so that nothing is cut off.
    """

    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False
    turn: float = 0.0

    @property
    def degrees(self) -> int:
        """Counter-clockwise turn by multiples of 90 degrees, mirrorings left aside."""
        if self.swap:
            return 90 if self.mirror_y and not self.mirror_x else 270 if self.mirror_x and not self.mirror_y else 0
        return 180 if self.mirror_x and self.mirror_y else 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """What a size becomes; after a turn by other than a right angle both sides are even."""
        if self.swap:
            width, height = height, width
        if not self.turn:
            return width, height
        cos, sin = abs(math.cos(math.radians(self.turn))), abs(math.sin(math.radians(self.turn)))
        across, down = width * cos + height * sin, width * sin + height * cos
        return 2 * math.ceil(across / 2 - 0.01), 2 * math.ceil(down / 2 - 0.01)


@dataclass(frozen=True)
class Layout:
    """From a decoded frame to what is shown: cropped first, then upright."""

    crop: Crop = Crop()
    orientation: Orientation = Orientation()

    def size(self, width: int, height: int) -> tuple[int, int]:
        """What the size of a decoded frame becomes."""
        return self.orientation.size(*self.crop.size(width, height))

    @property
    def simple(self) -> bool:
        """Whether nothing is cropped, nor turned by other than a right angle."""
        return self.crop == Crop() and not self.orientation.turn


def orientation_of(matrix: tuple[int, ...]) -> Orientation | None:
    """What a display matrix (ISO/IEC 14496-12, 8.3.2: x' = ax + cy, y' = bx + dy) does, size and place left aside.

    Args:
        matrix: a, b, u, c, d, …; only the ratios matter.

    Returns:
        None for a matrix that no player applies: it shows nothing, or shears.
    """
    a, b, _, c, d = (float(value) for value in matrix[:5])
    across, down = math.hypot(a, c), math.hypot(b, d)  # of x' and y'
    if across == 0 or down == 0:
        return None
    a, c, b, d = a / across, c / across, b / down, d / down
    if abs(a * b + c * d) > _SHEAR:
        return None
    near = math.sin(math.radians(_RIGHT_ANGLE))
    if max(abs(b), abs(c)) < near:
        return Orientation(mirror_x=a < 0, mirror_y=d < 0)
    if max(abs(a), abs(d)) < near:
        return Orientation(swap=True, mirror_x=c < 0, mirror_y=b < 0)
    mirrored = a * d - b * c < 0
    if mirrored:  # mirror first, then turn
        a, b = -a, -b
    return Orientation(mirror_x=mirrored, turn=math.degrees(math.atan2(b, a)))


def arrange(image: Image, layout: Layout) -> Image:
    """A decoded frame, (H, W, 3) uint8 RGB, as it is shown; may be a view."""
    height, width = image.shape[:2]
    crop = layout.crop
    if crop.fits(width, height):
        image = image[crop.top : height - crop.bottom, crop.left : width - crop.right]
    return upright(image, layout.orientation)


def upright(image: Image, orientation: Orientation) -> Image:
    """(H, W, 3) uint8 RGB, upright; may be a view."""
    turned = cv2.transpose(image) if orientation.swap else image
    if orientation.mirror_x and orientation.mirror_y:
        turned = cv2.flip(turned, -1)
    elif orientation.mirror_x:
        turned = cv2.flip(turned, 1)
    elif orientation.mirror_y:
        turned = cv2.flip(turned, 0)
    return _turned(turned, orientation) if orientation.turn else np.asarray(turned, np.uint8)


def _turned(image: Image, orientation: Orientation) -> Image:
    height, width = image.shape[:2]
    out = Orientation(turn=orientation.turn).size(width, height)
    cos, sin = math.cos(math.radians(orientation.turn)), math.sin(math.radians(orientation.turn))
    middle, target = ((width - 1) / 2, (height - 1) / 2), ((out[0] - 1) / 2, (out[1] - 1) / 2)
    x = target[0] - cos * middle[0] + sin * middle[1]
    y = target[1] - sin * middle[0] - cos * middle[1]
    matrix = np.array([[cos, -sin, x], [sin, cos, y]])
    return np.asarray(cv2.warpAffine(image, matrix, out, flags=cv2.INTER_LINEAR), np.uint8)
