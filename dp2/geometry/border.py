"""What the picture's border cuts goes on up to it: near the border masks have no waist and no rounded corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOUCH = 3.0  # pixels from the border: that edge of a box is the picture's
_DEPTH = 0.5  # of the box's extent away from the border: as far the mask is looked at
_SPREAD = 0.08  # of the box's extent along the border, by which the mask is widened there


def up_to_border(mask: NDArray[np.bool_], box: NDArray[np.float32]) -> None:
    """Fill a mask towards each border that its box touches.

    A matte sees nothing beyond the picture and rounds what the border cuts off: a shoulder that leaves the picture
    at its bottom, the second foot of somebody who walks out at its side. Near the border each line across it is filled
    from the mask's first pixel on, and the result is widened a little.

    Args:
        mask: (H, W), changed in place.
        box: (4,) x0 y0 x1 y1 in pixels.
    """
    height, width = mask.shape
    x0, x1 = np.clip(box[[0, 2]].astype(np.float64), 0, width).tolist()
    y0, y1 = np.clip(box[[1, 3]].astype(np.float64), 0, height).tolist()
    if x1 <= x0 or y1 <= y0:
        return
    # Each view has the border as its last row.
    views = (
        (x0 <= _TOUCH, _turned_left, x1 - x0, y1 - y0),
        (y0 <= _TOUCH, np.flipud, y1 - y0, x1 - x0),
        (x1 >= width - _TOUCH, np.transpose, x1 - x0, y1 - y0),
        (y1 >= height - _TOUCH, np.asarray, y1 - y0, x1 - x0),
    )
    bands = [
        (view(mask)[-max(1, round(_DEPTH * deep)) :], round(_SPREAD * along))
        for touches, view, deep, along in views
        if touches
    ]
    filled = [_filled(band, spread) for band, spread in bands]  # all before any: at a corner two meet
    for (band, _), more in zip(bands, filled, strict=True):
        band |= more


def _turned_left(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask.T[::-1]


def _filled(band: NDArray[np.bool_], spread: int) -> NDArray[np.bool_]:
    import cv2

    down = np.logical_or.accumulate(band, axis=0).view(np.uint8)
    wide: NDArray[np.bool_] = cv2.dilate(down, np.ones((1, 2 * spread + 1), np.uint8)).view(np.bool_)
    return wide
