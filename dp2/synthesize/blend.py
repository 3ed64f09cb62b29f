"""Putting a generated crop back into its frame: as published, or with edges, grain and sharpness that fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.synthesize.crops import Crop
from dp2.synthesize.geometry import clipped
from dp2.synthesize.resample import bicubic_float, nearest
from dp2.types import Image, Patch

Paste = Literal["natural", "reference"]
_Floats = NDArray[np.float32]

_FEATHER = 0.05  # of the root of the hole's area
_RING = 0.25  # likewise: how far around the hole the surroundings are compared
_MAD = 1.4826  # median absolute deviation to standard deviation of a normal distribution
_BLURS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.6)  # pixels, tried to match the sharpness


def reference(canvas: Image, crop: Crop, painted: _Floats, rng: np.random.Generator) -> Patch:  # noqa: ARG001
    """As DeepPrivacy2 pastes: bicubic pixels through a hard mask.

    Args:
        canvas: (H, W, 3) uint8 of the frame.
        crop: what was cut.
        painted: (h, w, 3) float32 in [0, 255], the whole crop.
        rng: unused.
    """
    size = crop.box[3] - crop.box[1], crop.box[2] - crop.box[0]
    pixels = np.clip(np.rint(bicubic_float(painted, size)), 0, 255).astype(np.uint8)
    return _patch(canvas, crop, pixels, _hole(crop, size).astype(np.float32))


def natural(canvas: Image, crop: Crop, painted: _Floats, rng: np.random.Generator) -> Patch:
    """As `reference`, but the hole's edge is feathered outwards, and grain and sharpness follow the surroundings.

    Outside the hole a generator returns what it was shown, so the feathered band holds resampled surroundings: no
    pixel of the hole is ever mixed with what was there before.

    Args:
        rng: of the grain.
    """
    size = crop.box[3] - crop.box[1], crop.box[2] - crop.box[0]
    hole = _hole(crop, size)
    scale = float(np.sqrt(max(1, int(hole.sum()))))
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    x0, y0, _, _ = crop.box
    left, top, right, bottom = clipped(crop.box, canvas.shape[0], canvas.shape[1])
    view = slice(top - y0, bottom - y0), slice(left - x0, right - x0)
    shown, distance, inside = bicubic_float(painted, size)[view], distance[view], hole[view]
    ring = (distance > 0) & (distance <= max(3.0, _RING * scale))
    old = canvas[top:bottom, left:right].astype(np.float32)
    if ring.sum() >= 32 and inside.any():
        shown = _softened(shown, old, inside, ring)
        shown = _grained(shown, old, ring, rng)
    alpha = np.clip(1 - distance / max(1.5, _FEATHER * scale), 0, 1)
    alpha = np.where(inside, 1, alpha * alpha * (3 - 2 * alpha)).astype(np.float32)
    return Patch(left, top, np.clip(np.rint(shown), 0, 255).astype(np.uint8), alpha)


PASTES: dict[str, Callable[[Image, Crop, _Floats, np.random.Generator], Patch]] = {
    "natural": natural,
    "reference": reference,
}


def _hole(crop: Crop, size: tuple[int, int]) -> NDArray[np.bool_]:
    hole: NDArray[np.bool_] = ~nearest(crop.keep, size).astype(np.bool_)
    return hole


def _patch(canvas: Image, crop: Crop, pixels: Image, alpha: _Floats) -> Patch:
    """The part of a crop inside the frame."""
    x0, y0, _, _ = crop.box
    left, top, right, bottom = clipped(crop.box, canvas.shape[0], canvas.shape[1])
    view = slice(top - y0, bottom - y0), slice(left - x0, right - x0)
    return Patch(left, top, np.ascontiguousarray(pixels[view]), np.ascontiguousarray(alpha[view]))


def _softened(new: _Floats, old: _Floats, inside: NDArray[np.bool_], ring: NDArray[np.bool_]) -> _Floats:
    """Blur the new pixels until fine detail, as a share of the coarse, is no more than that of the surroundings."""
    wanted = _detail(_grey(old), ring)
    for sigma in _BLURS:
        blurred = new if sigma == 0 else cv2.GaussianBlur(new, (0, 0), sigma)
        if _detail(_grey(blurred), inside) <= wanted:
            break
    return blurred


def _detail(grey: _Floats, where: NDArray[np.bool_]) -> float:
    """Energy within about 1 pixel over that within about 3."""
    near, far = cv2.GaussianBlur(grey, (0, 0), 1.0), cv2.GaussianBlur(grey, (0, 0), 3.0)
    fine, coarse = (grey - near)[where], (near - far)[where]
    return float(np.square(fine).mean() / (np.square(coarse).mean() + 1.0))


def _grained(new: _Floats, old: _Floats, ring: NDArray[np.bool_], rng: np.random.Generator) -> _Floats:
    """Add the grain that resampling took: what the surroundings have in the frame and no longer in the crop."""
    lost = _noise(_grey(old), ring) ** 2 - _noise(_grey(new), ring) ** 2
    if lost <= 0.25:
        return new
    grain = rng.standard_normal(new.shape[:2], dtype=np.float32) * np.float32(np.sqrt(lost))
    return new + grain[..., None]


def _noise(grey: _Floats, where: NDArray[np.bool_]) -> float:
    """Standard deviation of what a 3x3 median takes away; the median over the pixels ignores edges."""
    residue = (grey - cv2.medianBlur(grey, 3))[where]
    return float(_MAD * np.median(np.abs(residue)))


def _grey(pixels: _Floats) -> _Floats:
    grey: _Floats = cv2.cvtColor(np.clip(pixels, 0, 255), cv2.COLOR_RGB2GRAY)
    return grey
