"""Splitting a rectangle into cells and taking their means: how mosaic and blur forget detail."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.types import Image

Edges = NDArray[np.intp]


def edges(start: int, stop: int, cells: int, size: int) -> Edges:
    """Borders of the visible ones among equal cells.

    Args:
        start, stop: the cells tile this interval, in pixels; it may leave [0, size).
        cells: their number, at least 1.
        size: only [0, size) is visible.

    Returns:
        (n + 1,) strictly increasing, from 0 to `size`.
    """
    pitch = (stop - start) / cells
    first, last = math.floor(-start / pitch), math.ceil((size - start) / pitch)
    # Half up, not to even: a grid must not depend on where in the frame it lies.
    borders = np.floor(start + pitch * np.arange(first, last + 1) + 0.5).clip(0, size)
    borders[0], borders[-1] = 0, size
    return np.unique(borders).astype(np.intp)


def means(pixels: Image, rows: Edges, columns: Edges) -> Image:
    """(n, m, 3) uint8: the mean of the pixels of each cell, rounded half up; exact in integers."""
    strips = [
        cv2.reduce(pixels[top:bottom], 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
        for top, bottom in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True)
    ]
    sums = np.add.reduceat(np.concatenate(strips), columns[:-1], axis=1, dtype=np.int64)
    counts = (np.diff(rows)[:, None] * np.diff(columns)[None, :])[..., None]
    rounded: Image = ((2 * sums + counts) // (2 * counts)).astype(np.uint8)
    return rounded
