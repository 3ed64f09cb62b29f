"""Putting a generated crop back into its frame: as published, or with seam, grain and sharpness that fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.faces.crop_box import clipped
from dp2.synthesize.crops import Crop, continued, hole_of
from dp2.synthesize.resample import bicubic_float, light_bicubic
from dp2.types import Image, Patch

Paste = Literal["natural", "reference"]
_Floats = NDArray[np.float32]
_Bools = NDArray[np.bool_]

_FEATHER = 0.06  # of the root of the hole's area: width of the band on each side of the seam
_LEAST_FEATHER = 1.5  # pixels
_MIX = 0.4  # of the feather: as far as both sides are mixed
_RING = 0.25  # of the same: how far around the hole the surroundings are compared
_EDGES = 32  # pixels; from fewer, sharpness cannot be told
_AREA = 400  # pixels of hole and of surroundings; from fewer, detail cannot be told from grain
_EDGE = 24.0  # levels within 7 pixels from which there is an edge to measure
_SHARPEST = 90  # percent: an edge sharper than that many others tells how sharp the picture can be
_TOLERANCE = 1.1  # in sharpness
_BLURS = (0.5, 0.7, 0.9, 1.2, 1.6, 2.1)  # pixels, tried to match the sharpness
_FLAT = 25  # percent of the pixels, the flattest, on which grain is measured
_MAD = 1.4826  # median absolute deviation to standard deviation of a normal distribution


def reference(canvas: Image, crop: Crop, painted: _Floats, rng: np.random.Generator) -> Patch:  # noqa: ARG001
    """As DeepPrivacy2 pastes: bicubic pixels through a hard mask.

    Args:
        canvas: (H, W, 3) uint8 of the frame.
        crop: what was cut.
        painted: (h, w, 3) float32 in [0, 255], the whole crop.
        rng: unused.
    """
    left, top, view = _place(canvas, crop)
    size = _size(crop)
    pixels = np.clip(np.rint(bicubic_float(painted, size)), 0, 255).astype(np.uint8)
    alpha = hole_of(crop).astype(np.float32)
    return Patch(left, top, np.ascontiguousarray(pixels[view]), np.ascontiguousarray(alpha[view]))


def natural(canvas: Image, crop: Crop, painted: _Floats, rng: np.random.Generator) -> Patch:
    """As `reference`, but the seam is levelled on both sides, and grain and sharpness follow the surroundings.

    What was in the hole plays no part, not even through what is measured.

    Args:
        rng: of the grain.
    """
    left, top, view = _place(canvas, crop)
    size = _size(crop)
    inside = hole_of(crop)[view]
    new = _resized(painted, size)[view]
    there = canvas[top : top + new.shape[0], left : left + new.shape[1]]
    old = continued(there, ~inside).astype(np.float32)  # so that nothing of the hole enters what is measured
    scale = float(np.sqrt(max(1, int(inside.sum()))))
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3)
    ring = (distance > 0) & (distance <= max(3.0, _RING * scale))
    if min(inside.sum(), ring.sum()) >= _AREA:
        new = _softened(new, old, inside, ring)
        new = _grained(new, old, inside, ring, rng)
    feather = max(_LEAST_FEATHER, _FEATHER * scale)
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    half_step = 0.5 * _step(new, old, inside, feather / 2)
    near = _falloff(depth - 1, feather)[..., None]  # the first pixel lies at the seam
    within, beyond = new - near * half_step, old + half_step
    # Levelled tones still meet with different detail, so each side reaches a little into the other.
    mixed = 0.5 * _falloff(np.maximum(depth, distance) - 1, max(1.0, _MIX * feather))[..., None]
    pixels = np.where(inside[..., None], within, beyond)
    pixels += mixed * (np.where(inside[..., None], beyond, continued(within, inside)) - pixels)
    alpha = np.where(inside, 1, _falloff(distance, feather)).astype(np.float32)
    return Patch(left, top, np.clip(np.rint(pixels), 0, 255).astype(np.uint8), alpha)


PASTES: dict[str, Callable[[Image, Crop, _Floats, np.random.Generator], Patch]] = {
    "natural": natural,
    "reference": reference,
}


def _size(crop: Crop) -> tuple[int, int]:
    return crop.box[3] - crop.box[1], crop.box[2] - crop.box[0]


def _place(canvas: Image, crop: Crop) -> tuple[int, int, tuple[slice, slice]]:
    """Left and top of the part of a crop inside the frame, and that part of it."""
    x0, y0, _, _ = crop.box
    left, top, right, bottom = clipped(crop.box, canvas.shape[0], canvas.shape[1])
    return left, top, (slice(top - y0, bottom - y0), slice(left - x0, right - x0))


def _resized(painted: _Floats, size: tuple[int, int]) -> _Floats:
    if size[0] > painted.shape[0] and size[1] > painted.shape[1]:
        grown: _Floats = cv2.resize(painted, size[::-1], interpolation=cv2.INTER_CUBIC)  # nothing to filter away
        return np.clip(grown, 0, 255)
    return np.clip(light_bicubic(painted, size), 0, 255)


def _falloff(distance: _Floats, width: float) -> _Floats:
    """From 1 at 0 smoothly to 0 at `width`."""
    share = np.clip(1 - distance / width, 0, 1)
    smooth: _Floats = (share * share * (3 - 2 * share)).astype(np.float32)
    return smooth


def _step(new: _Floats, old: _Floats, inside: _Bools, sigma: float) -> _Floats:
    """How much brighter the new pixels near the seam are than the surroundings near it; (h, w, 3), smooth.

    Where a generator continues its surroundings this is about 0, and nothing changes.
    """
    height, width = inside.shape
    factor = max(1.0, sigma / 2)  # so smooth a thing is computed small
    small = max(1, round(width / factor)), max(1, round(height / factor))

    def around(pixels: _Floats, where: _Bools) -> _Floats:
        weight = where.astype(np.float32)
        stack = np.dstack([pixels * weight[..., None], weight])
        stack = cv2.resize(stack, small, interpolation=cv2.INTER_AREA)
        blurred: _Floats = cv2.GaussianBlur(stack, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
        return blurred

    within, beyond = around(new, inside), around(old, ~inside)
    least = np.minimum(within[..., 3:], beyond[..., 3:])
    step = within[..., :3] / (within[..., 3:] + 1e-6) - beyond[..., :3] / (beyond[..., 3:] + 1e-6)
    step = np.where(least > 1e-3, step, 0).astype(np.float32)  # far from the seam one side is not seen
    smooth: _Floats = cv2.resize(step, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)
    return smooth


def _softened(new: _Floats, old: _Floats, inside: _Bools, ring: _Bools) -> _Floats:
    """Blur the new pixels until their sharpest edges are no sharper than those of the surroundings."""
    wanted = _sharpness(_grey(old), ring)
    grey = _grey(new)
    found = _sharpness(grey, inside)
    if wanted is None or found is None or found <= _TOLERANCE * wanted:
        return new
    for sigma in _BLURS:
        found = _sharpness(cv2.GaussianBlur(grey, (0, 0), sigma), inside)
        if found is None or found <= _TOLERANCE * wanted:
            break
    blurred: _Floats = cv2.GaussianBlur(new, (0, 0), sigma)
    return blurred


def _sharpness(grey: _Floats, where: _Bools) -> float | None:
    """Slope of the sharpest edges as a share of their height: 0.5 = from one pixel to the next; None without edges.

    It does not depend on how much there is to see, so that a face is not blurred because it stands before a wall.
    """
    window = np.ones((7, 7), np.uint8)
    height = cv2.dilate(grey, window) - cv2.erode(grey, window)
    edges = where & (height > _EDGE)
    if edges.sum() < _EDGES:
        return None
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8))
    return float(np.percentile(slope[edges] / height[edges], _SHARPEST))


def _grained(new: _Floats, old: _Floats, inside: _Bools, ring: _Bools, rng: np.random.Generator) -> _Floats:
    """Give the new pixels the grain of the surroundings, as far as they have less."""
    missing = _grain(_grey(old), ring) ** 2 - _grain(_grey(new), inside) ** 2
    if missing <= 0.25:
        return new
    grain = rng.standard_normal(new.shape[:2], dtype=np.float32) * np.float32(np.sqrt(missing))
    return new + grain[..., None]


def _grain(grey: _Floats, where: _Bools) -> float:
    """Standard deviation of what a 3x3 median takes away where the picture is flattest, so that hair is no grain."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))[where]
    residue = (grey - cv2.medianBlur(grey, 3))[where]
    flat = residue[slope <= np.percentile(slope, _FLAT)]
    return float(_MAD * np.median(np.abs(flat)))


def _grey(pixels: _Floats) -> _Floats:
    grey: _Floats = cv2.cvtColor(np.clip(pixels, 0, 255), cv2.COLOR_RGB2GRAY)
    return grey
