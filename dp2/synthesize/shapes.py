"""Which pixels of a frame a classic redaction replaces: an ellipse, a box or a mask, with a soft band around it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.types import Box, Image, Region

ShapeName = Literal["ellipse", "box", "mask"]
Alpha = NDArray[np.float32]

_EMPTY: Box = (0, 0, 0, 0)
_MIN_SIDE = 4.0  # pixels: what a detector calls smaller than this, it has not measured to the pixel
# Below these scales the central half of a box shows: an ellipse contains a rectangle of half its sides from √½ on.
_MIN_SCALE = {"ellipse": 0.72, "box": 0.5, "mask": 0.5}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where a shape lies in a frame.

    Attributes:
        whole: smallest rectangle around the shape; may leave the frame.
        inner: the part of `whole` inside the frame.
        outer: `inner` with the feathered band, clipped to the frame; empty where `inner` is.
    """

    whole: Box
    inner: Box
    outer: Box


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the replaced area follows from a region.

    Whatever the name, the mask of a region that has one is covered too: a body does not look out of its ellipse.

    Attributes:
        name: ellipse or box around the region's box; mask = the region's mask, or its box where it has none.
        scale: size of ellipse or box as a factor of the region's box.
        growth: by how much a mask is dilated, as a fraction of the longer side of the box.
        feather: width of the band around the shape in which old and new mix, as a fraction of the longer side.

    Raises:
        UsageError: no such shape, or it leaves the centre of a region visible.
    """

    name: ShapeName = "ellipse"
    scale: float = 1.3
    growth: float = 0.02
    feather: float = 0.04

    def __post_init__(self) -> None:
        if self.name not in get_args(ShapeName):
            raise UsageError(f"there is no shape {self.name!r}; choose {', '.join(get_args(ShapeName))}.")
        least = _MIN_SCALE[self.name]
        if not least <= self.scale < math.inf:
            raise UsageError(
                f"mask_scale={self.scale} with shape {self.name!r} leaves the centre of a face visible; "
                f"use {least} or more."
            )
        for what in ("growth", "feather"):
            if not 0 <= getattr(self, what) < math.inf:
                raise UsageError(f"{what}={getattr(self, what)} must be 0 or more.")

    def footprint(self, region: Region, height: int, width: int) -> Footprint:
        """Where this shape lies in a frame of (height, width).

        Raises:
            ValueError: the mask does not have the frame's size.
        """
        parts = []
        if region.mask is not None:
            if region.mask.shape != (height, width):
                raise ValueError(f"a mask of {region.mask.shape} does not fit a frame of {(height, width)}")
            x, y, w, h = cv2.boundingRect(region.mask.view(np.uint8))
            if w and h:
                grow = math.ceil(self._growth(region))
                parts.append((x - grow, y - grow, x + w + grow, y + h + grow))
        if not parts or self.name != "mask":
            x0, y0, x1, y1 = self._scaled(region)
            parts.append((math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)))
        x0s, y0s, x1s, y1s = zip(*parts, strict=True)
        whole = (min(x0s), min(y0s), max(x1s), max(y1s))
        inner = _clipped(whole, 0, height, width)
        return Footprint(
            whole, inner, _EMPTY if inner == _EMPTY else _clipped(whole, self._band(region), height, width)
        )

    def alpha(self, region: Region, footprint: Footprint) -> Alpha:
        """(h, w) float32 over `footprint.outer`: 1 on every pixel of the shape, falling to 0 across the band."""
        x0, y0, x1, y1 = footprint.outer
        parts = []
        if region.mask is not None:
            mask = region.mask[y0:y1, x0:x1]
            if mask.any():
                parts.append(_mask_alpha(mask, self._growth(region), self._band(region)))
        if not parts or self.name != "mask":
            draw = _ellipse_alpha if self.name == "ellipse" else _box_alpha
            parts.append(draw(self._scaled(region), footprint.outer, self._band(region)))
        return parts[0] if len(parts) == 1 else np.maximum(*parts)

    def _scaled(self, region: Region) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = region.box.astype(np.float64).tolist()
        half_width, half_height = (max(side, _MIN_SIDE) * self.scale / 2 for side in (x1 - x0, y1 - y0))
        if self.name == "ellipse":  # so that pixels which it only touches are replaced as well
            half_width, half_height = half_width + 0.5, half_height + 0.5
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        return x - half_width, y - half_height, x + half_width, y + half_height

    def _growth(self, region: Region) -> float:
        return self.growth * longer_side(region)

    def _band(self, region: Region) -> int:
        return math.ceil(self.feather * longer_side(region))


def longer_side(region: Region) -> float:
    """Of the region's box, in pixels; never below the least that a box can mean."""
    x0, y0, x1, y1 = region.box.astype(np.float64).tolist()
    return float(max(x1 - x0, y1 - y0, _MIN_SIDE))


def crop(image: Image, box: Box) -> Image:
    """The pixels of a box inside the frame, as a view."""
    x0, y0, x1, y1 = box
    return image[y0:y1, x0:x1]


def _clipped(box: Box, margin: int, height: int, width: int) -> Box:
    x0, y0 = max(box[0] - margin, 0), max(box[1] - margin, 0)
    x1, y1 = min(box[2] + margin, width), min(box[3] + margin, height)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else _EMPTY


def _falloff(distance: NDArray[np.floating], band: int) -> Alpha:
    """1 down to 0 over `band` pixels; half a pixel more, so that the band's last pixel still takes part."""
    alpha: Alpha = np.clip(1 - distance / (band + 0.5), 0, 1).astype(np.float32)
    return alpha


def _box_alpha(shape: tuple[float, float, float, float], outer: Box, band: int) -> Alpha:
    x = _outside(math.floor(shape[0]), math.ceil(shape[2]), outer[0], outer[2])
    y = _outside(math.floor(shape[1]), math.ceil(shape[3]), outer[1], outer[3])
    if not x.any() and not y.any():
        return np.ones((len(y), len(x)), np.float32)
    return _falloff(np.hypot(x[None, :], y[:, None]), band)


def _outside(start: int, stop: int, first: int, last: int) -> NDArray[np.float32]:
    """How far the pixels first..last lie outside [start, stop)."""
    position = np.arange(first, last)
    return np.maximum(np.maximum(start - position, position - (stop - 1)), 0).astype(np.float32)


def _ellipse_alpha(shape: tuple[float, float, float, float], outer: Box, band: int) -> Alpha:
    a, b = (shape[2] - shape[0]) / 2, (shape[3] - shape[1]) / 2
    x = ((np.arange(outer[0], outer[2]) + 0.5 - (shape[0] + shape[2]) / 2) / a).astype(np.float32)
    y = ((np.arange(outer[1], outer[3]) + 0.5 - (shape[1] + shape[3]) / 2) / b).astype(np.float32)
    squared = np.add.outer(y * y, x * x)
    alpha: Alpha = cv2.threshold(squared, 1, 1, cv2.THRESH_BINARY_INV)[1]
    if not band:
        return alpha
    reach = (1 + (band + 0.5) / min(a, b)) ** 2
    rows, columns = np.divmod(np.flatnonzero((alpha == 0) & (squared < reach)), len(x))
    radius = np.sqrt(squared[rows, columns])
    # To first order a point is (radius - 1) / |gradient of radius| away from the ellipse.
    distance = radius * (radius - 1) / np.hypot(x[columns] / a, y[rows] / b)
    alpha[rows, columns] = _falloff(distance, band)
    return alpha


def _mask_alpha(mask: NDArray[np.bool_], growth: float, band: int) -> Alpha:
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return _falloff(distance - growth, band)
