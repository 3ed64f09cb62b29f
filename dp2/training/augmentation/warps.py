"""Geometry and colours of augmentation as tensor functions that differentiate twice.

`grid_sample` does not differentiate twice, which penalties on gradients need; gathering does.
"""

from __future__ import annotations

import torch
from torch import Tensor


def warp(maps: Tensor, matrix: Tensor) -> Tensor:
    """Resample bilinearly; beyond its border a picture is mirrored.

    Args:
        maps: (N, C, H, W).
        matrix: (N, 3, 3): from pixels of the result to pixels of `maps`, both (x, y, 1) counted from the centre.

    Returns:
        (N, C, H, W).
    """
    height, width = maps.shape[2:]
    y = torch.arange(height, device=maps.device, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(width, device=maps.device, dtype=torch.float32) - (width - 1) / 2
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    places = torch.stack([columns, rows, torch.ones_like(rows)]).flatten(1)  # (3, H·W)
    there = matrix @ places  # (N, 3, H·W)
    right = _mirrored(there[:, 0] + (width - 1) / 2, width)
    down = _mirrored(there[:, 1] + (height - 1) / 2, height)
    x0, y0 = right.floor().clamp(max=max(width - 2, 0)), down.floor().clamp(max=max(height - 2, 0))
    fx, fy = (right - x0)[:, None].to(maps.dtype), (down - y0)[:, None].to(maps.dtype)
    flat, corner = maps.flatten(2), (y0 * width + x0).long()
    step_x, step_y = min(1, width - 1), width * min(1, height - 1)

    def at(index: Tensor) -> Tensor:
        return flat.gather(2, index[:, None].expand(-1, flat.shape[1], -1))

    upper = at(corner) * (1 - fx) + at(corner + step_x) * fx
    lower = at(corner + step_y) * (1 - fx) + at(corner + step_y + step_x) * fx
    return (upper * (1 - fy) + lower * fy).view_as(maps)


def shifted(maps: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """(N, C, H, W) moved by (N,) whole pixels; 0 comes in."""
    height, width = maps.shape[2:]
    rows = torch.arange(height, device=maps.device) - down[:, None]  # (N, H)
    columns = torch.arange(width, device=maps.device) - right[:, None]  # (N, W)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    index = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    found = maps.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, maps.shape[1], -1))
    return found.view_as(maps) * inside[:, None].to(maps.dtype)


def cut_out(like: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """(N, 1, H, W): 0 in a rectangle of half of each side around (N,) fractions of height and width, 1 elsewhere."""
    height, width = like.shape[2:]
    rows = (torch.arange(height, device=like.device) + 0.5) / height - down[:, None]
    columns = (torch.arange(width, device=like.device) + 0.5) / width - right[:, None]
    inside = (rows.abs() < 0.25)[:, :, None] & (columns.abs() < 0.25)[:, None, :]
    return (~inside)[:, None].to(like.dtype)


def flip(happens: Tensor) -> Tensor:
    """(N,) bool to (N, 3, 3) that mirror left and right."""
    sign = 1 - 2 * happens.float()
    return scale(sign, torch.ones_like(sign))


def move(x: Tensor, y: Tensor) -> Tensor:
    """(N,) pixels each to (N, 3, 3)."""
    matrix = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    matrix[:, 0, 2], matrix[:, 1, 2] = x, y
    return matrix


def scale(x: Tensor, y: Tensor) -> Tensor:
    """(N,) factors each to (N, 3, 3)."""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=1))


def rotate(angle: Tensor) -> Tensor:
    """(N,) radians to (N, 3, 3)."""
    matrix = torch.eye(3, device=angle.device).repeat(len(angle), 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 0, 1], matrix[:, 1, 0] = -angle.sin(), angle.sin()
    return matrix


def colour_matrix(invert: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Mirror, turn and stretch colours about the grey axis v = (1, 1, 1)/√3.

    Args:
        invert: (N,) bool: light and dark change places: I − 2vvᵀ.
        hue: (N,) radians about v.
        saturation: (N,) factors on what is perpendicular to v: vvᵀ + s(I − vvᵀ).

    Returns:
        (N, 3, 3).
    """
    one = torch.eye(3, device=hue.device)
    grey = torch.full((3, 3), 1 / 3, device=hue.device)
    across = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=hue.device) / 3**0.5
    cos, sin = hue.cos()[:, None, None], hue.sin()[:, None, None]
    turned = cos * one + sin * across + (1 - cos) * grey  # Rodrigues' formula
    mirrored = one - 2 * grey * invert.float()[:, None, None]
    stretched = grey + saturation[:, None, None] * (one - grey)
    return stretched @ turned @ mirrored


def _mirrored(place: Tensor, size: int) -> Tensor:
    """Any place to [0, size − 1], mirrored at both ends as often as needed."""
    last = max(size - 1, 1)
    return last - (place.remainder(2 * last) - last).abs()
