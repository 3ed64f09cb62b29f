"""Patches that leave what stands in front of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dp2.types import Patch


def behind(patch: Patch, boxes: Sequence[NDArray[np.float32]]) -> Patch:
    """The same patch without what lies in the faces of some boxes, which are taken for ellipses.

    Args:
        boxes: (4,) x0 y0 x1 y1 in pixels of the frame.
    """
    if not boxes or not patch.alpha.size:
        return patch
    height, width = patch.alpha.shape
    xs, ys = np.arange(width) + patch.x + 0.5, np.arange(height)[:, None] + patch.y + 0.5
    free = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in (box.astype(np.float64).tolist() for box in boxes):
        if x1 > x0 and y1 > y0:
            free |= ((2 * xs - x0 - x1) / (x1 - x0)) ** 2 + ((2 * ys - y0 - y1) / (y1 - y0)) ** 2 <= 1
    return replace(patch, alpha=np.where(free, np.float32(0), patch.alpha))
