"""Arithmetic of boxes in R-CNN networks: (…, 4) tensors x0 y0 x1 y1 in pixels.

Source: Girshick et al. 2014, appendix C, with the clamp of detectron2's `Box2BoxTransform`.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

_MAX_LOG_SCALE = log(1000 / 16)  # detectron2's guard against exp() overflowing


def apply_deltas(deltas: Tensor, boxes: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Boxes moved and scaled by a network's predictions.

    Args:
        deltas: (…, 4) dx, dy in box sides, dw, dh as logarithms, each multiplied by its weight.
        boxes: (…, 4).

    Returns:
        (…, 4) float32.
    """
    deltas = deltas.float() / deltas.new_tensor(weights, dtype=torch.float32)
    sizes = boxes[..., 2:] - boxes[..., :2]
    centers = boxes[..., :2] + 0.5 * sizes
    centers = deltas[..., :2] * sizes + centers
    half = 0.5 * (deltas[..., 2:].clamp(max=_MAX_LOG_SCALE).exp() * sizes)
    return torch.cat((centers - half, centers + half), dim=-1)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 4) boxes limited to an image of `size` = (height, width)."""
    height, width = size
    return torch.stack((boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)), dim=-1).flatten(1)


def nonempty(boxes: Tensor) -> Tensor:
    """(N,) bool: both sides are longer than zero."""
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
