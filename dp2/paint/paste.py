"""Laying new pixels over a frame."""

from __future__ import annotations

import cv2
import numpy as np

from dp2.types import Image, Patch


def paste(canvas: Image, patch: Patch) -> None:
    """Change `canvas` in place to round(alpha · new + (1 - alpha) · old), ties to even.

    Where alpha is 0 no byte changes, where it is 1 the new pixel arrives as it is.

    Args:
        canvas: (H, W, 3) uint8, writeable.
        patch: lies inside the canvas.
    """
    height, width = patch.alpha.shape
    if not height or not width:
        return
    under = canvas[patch.y : patch.y + height, patch.x : patch.x + width]
    mixed = np.nonzero((patch.alpha > 0) & (patch.alpha < 1))  # before the frame changes: a few pixels of a border
    alpha = patch.alpha[mixed][:, None]
    blend = alpha * patch.pixels[mixed] + (1 - alpha) * under[mixed]
    cv2.copyTo(np.ascontiguousarray(patch.pixels), (patch.alpha >= 1).view(np.uint8), under)
    under[mixed] = np.rint(blend)
