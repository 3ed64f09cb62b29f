"""Masks of two detectors compared: which show the same thing, and where they lie.

Source: DeepPrivacy2's `detection/utils.py`, restated; proven by the case `pipeline`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dp2.geometry.bodies import mask_box


def mask_ious(masks: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, M) float32 of (N, H, W) and (M, H, W) bool; 0 where both are empty."""
    flat, other_flat = (rows.reshape(len(rows), -1) for rows in (masks, others))
    sizes, other_sizes = flat.sum(axis=1), other_flat.sum(axis=1)
    shared = np.zeros((len(masks), len(others)), np.int64)
    for row, mask in enumerate(masks):
        if sizes[row]:
            x0, y0, x1, y1 = mask_box(mask)  # beyond it nothing is shared
            shared[row] = (others[:, y0:y1, x0:x1] & mask[y0:y1, x0:x1]).sum(axis=(1, 2))
    union = sizes[:, None] + other_sizes[None] - shared
    ious: NDArray[np.float32] = shared.astype(np.float32) / np.maximum(union, 1).astype(np.float32)
    return ious


def greedy_matches(ious: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Pairs of rows and columns with at least this overlap, each used once.

    They are taken in the order of the rows, then of the columns, not of the overlap: detectors give their best first.

    Returns:
        (K, 2), row and column.
    """
    rows: set[int] = set()
    columns: set[int] = set()
    pairs = []
    for row, column in np.argwhere(ious >= np.float32(threshold)).tolist():
        if row not in rows and column not in columns:
            pairs.append((row, column))
            rows.add(row)
            columns.add(column)
    return np.array(pairs, np.intp).reshape(-1, 2)


def masks_to_boxes(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, 4) smallest boxes around (N, H, W) masks, x0 y0 x1 y1 half-open; the whole frame for an empty mask."""
    height, width = masks.shape[1:]
    boxes = [mask_box(mask) if mask.any() else (0, 0, width, height) for mask in masks]
    return np.array(boxes, np.float32).reshape(-1, 4)
