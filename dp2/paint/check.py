"""Does a patch really replace its region?"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.types import Box, Patch, Region

_COVERED = 0.99  # alpha from which a pixel counts as replaced
_SOFT_EDGE = 0.03  # of the longer side of the box: so far into a mask a synthesizer may feather its border


def patch_fault(patch: Patch, region: Region, write: Box, height: int, width: int) -> str | None:
    """Why a patch must not be used for a region; None where it may.

    Args:
        write: where its synthesizer promised to stay.
        height, width: of the frame.
    """
    h, w = patch.alpha.shape if patch.alpha.ndim == 2 else (-1, -1)
    if patch.pixels.shape != (h, w, 3) or patch.pixels.dtype != np.uint8:
        return f"pixels are {patch.pixels.dtype} {patch.pixels.shape} beside an alpha of {patch.alpha.shape}"
    if patch.alpha.dtype != np.float32:
        return f"alpha is {patch.alpha.dtype}, not float32"
    if patch.alpha.size:
        x0, y0, x1, y1 = write
        if not (max(x0, 0) <= patch.x <= min(x1, width) - w and max(y0, 0) <= patch.y <= min(y1, height) - h):
            return "the patch leaves the area that its synthesizer named"
        # Comparisons with NaN are false, so this refuses it too.
        if not (patch.alpha.min() >= 0 and patch.alpha.max() <= 1):
            return "alpha leaves 0..1 or is not finite"
    return None if _covers(patch, region, height, width) else "the patch does not cover the region"


def _covers(patch: Patch, region: Region, height: int, width: int) -> bool:
    """Is the heart of the region replaced: the central half of its box, or what its mask holds of the box?"""
    box, core, soft = _core(region, height, width)
    x0, y0, x1, y1 = box
    if not core.any():
        return True
    covered = np.zeros(core.shape, bool)
    h, w = patch.alpha.shape
    left, top, right, bottom = max(x0, patch.x), max(y0, patch.y), min(x1, patch.x + w), min(y1, patch.y + h)
    if right > left and bottom > top:
        alpha = patch.alpha[top - patch.y : bottom - patch.y, left - patch.x : right - patch.x]
        covered[top - y0 : bottom - y0, left - x0 : right - x0] = alpha > _COVERED
    return bool(covered[core].all()) or (soft > 0 and bool(covered[_eroded(core, soft)].all()))


def _core(region: Region, height: int, width: int) -> tuple[Box, NDArray[np.bool_], float]:
    """A box inside the frame, which of its pixels must be replaced, and how far into them the border may be soft."""
    x0, y0, x1, y1 = region.box.astype(np.float64).tolist()
    if region.mask is not None:
        box = _clipped(math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1), height, width)
        mask = region.mask[box[1] : box[3], box[0] : box[2]]
        if mask.any():
            return box, mask, _SOFT_EDGE * max(x1 - x0, y1 - y0)
    centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2
    box = _clipped(
        # Only pixels that lie wholly in the central half; of a tiny region the one pixel at its centre.
        min(math.ceil((x0 + centre_x) / 2), math.floor(centre_x)),
        min(math.ceil((y0 + centre_y) / 2), math.floor(centre_y)),
        max(math.floor((centre_x + x1) / 2), math.floor(centre_x) + 1),
        max(math.floor((centre_y + y1) / 2), math.floor(centre_y) + 1),
        height,
        width,
    )
    return box, np.ones((box[3] - box[1], box[2] - box[0]), bool), 0.0


def _clipped(x0: int, y0: int, x1: int, y1: int, height: int, width: int) -> Box:
    x0, y0 = min(max(x0, 0), width), min(max(y0, 0), height)
    return x0, y0, max(min(x1, width), x0), max(min(y1, height), y0)


def _eroded(mask: NDArray[np.bool_], by: float) -> NDArray[np.bool_]:
    """The pixels deeper than `by` inside a mask; all of them if none is."""
    depth = cv2.distanceTransform(np.ascontiguousarray(mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    deep: NDArray[np.bool_] = depth > by
    return deep if deep.any() else mask
