"""How much boxes share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M, N) intersection over union of (M, 4) and (N, 4) boxes x0 y0 x1 y1; 0 where both are empty."""
    a, b = first.reshape(-1, 1, 4), second.reshape(1, -1, 4)
    inner = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=2)
    outer = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2) - inner
    share: NDArray[np.float32] = np.divide(inner, outer, out=np.zeros_like(inner), where=outer > 0)
    return share
