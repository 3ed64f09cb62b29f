"""The hole in which a new face is painted, and the one colour that the old face leaves behind."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.faces.mesh import Floats

Mask = NDArray[np.bool_]
_STEP = 16.0  # of a coarse colour, in 8-bit steps
_GREY = 128.0


def grown(mask: Mask, reach: float) -> Mask:
    """(H, W) mask dilated by `reach` pixels."""
    if reach < 0.5:
        return mask
    side = 2 * round(reach) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def smoothed(share: Floats, width: float) -> Floats:
    """(H, W) in [0, 1] without holes and hairs finer than a twentieth of the face's width."""
    return np.asarray(cv2.GaussianBlur(share, (0, 0), max(0.3, 0.03 * width)), np.float32)


def coarse_colour(picture: NDArray[np.uint8], mask: Mask) -> Floats:
    """(3,) float32 RGB in [0, 255]: the mean colour of what is masked, in 16 steps a channel; grey if that is nothing.

    With the pose and the visible part it is all that a new face is told of the old one.
    """
    if not mask.any():
        return np.full(3, _GREY, np.float32)
    mean = picture[mask].mean(0, dtype=np.float64)
    return np.asarray(np.clip(np.round(mean / _STEP) * _STEP, 0, 255), np.float32)


def moved_to(image: Floats, mask: Mask, colour: Floats) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a rendering whose mean within the mask is `colour`; 0 elsewhere."""
    if not mask.any():
        return np.zeros(image.shape, np.uint8)
    moved = image + (colour - image[mask].mean(0))
    return np.asarray(np.clip(moved + 0.5, 0, 255) * mask[..., None], np.uint8)
