"""Arithmetic of boxes that several stages need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dp2.types import Box


def iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """(M, N) intersection over union of (M, 4) and (N, 4) boxes x0 y0 x1 y1, or of (4,) for one; 0 of empty ones."""
    a, b = np.asarray(first, np.float64).reshape(-1, 1, 4), np.asarray(second, np.float64).reshape(1, -1, 4)
    inner = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=2)
    outer = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2) - inner
    share: NDArray[np.float64] = np.divide(inner, outer, out=np.zeros_like(inner), where=outer > 0)
    return share


def empty(box: Box) -> bool:
    """Whether a box holds no pixel."""
    return box[0] >= box[2] or box[1] >= box[3]


def union(a: Box, b: Box) -> Box:
    """The smallest box around two; empty boxes add nothing."""
    if empty(a) or empty(b):
        return b if empty(a) else a
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
