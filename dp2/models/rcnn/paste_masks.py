"""Small soft masks, placed into their boxes in a picture.

Source: the sampling rule of detectron2's `layers/mask_ops.py`: the mask's pixels are squares that tile the box, values
between their centres are bilinear, and beyond the outermost centres they fade to zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

_THRESHOLD = 0.5


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Binary masks at the size of the picture.

    Bilinear sampling on a grid of rows and columns is a product of two thin matrices with the mask, which costs a
    fraction of sampling each pixel by itself.

    Args:
        masks: (N, S, S) float32 in 0..1.
        boxes: (N, 4) x0 y0 x1 y1 in pixels of the picture, not empty.
        size: (height, width).

    Returns:
        (N, height, width) bool.
    """
    height, width = size
    pasted = torch.zeros((len(masks), height, width), dtype=torch.bool, device=masks.device)
    first = (boxes[:, :2].floor() - 1).clamp(min=0).long().tolist()
    last = (boxes[:, 2:].ceil() + 1).long().tolist()
    for i, ((x0, y0), (x1, y1)) in enumerate(zip(first, last, strict=True)):
        rows = _weights(y0, min(y1, height), boxes[i, 1], boxes[i, 3], masks.shape[1])  # [h, S]
        columns = _weights(x0, min(x1, width), boxes[i, 0], boxes[i, 2], masks.shape[2])  # [w, S]
        pasted[i, y0 : min(y1, height), x0 : min(x1, width)] = rows @ masks[i].float() @ columns.T >= _THRESHOLD
    return pasted


def _weights(start: int, stop: int, low: Tensor, high: Tensor, cells: int) -> Tensor:
    pixels = torch.arange(start, stop, device=low.device, dtype=torch.float32) + 0.5
    position = (pixels - low) / (high - low) * cells - 0.5  # 0 at the first cell's centre
    distance = (position[:, None] - torch.arange(cells, device=low.device)).abs()
    return (1 - distance).clamp(min=0)
