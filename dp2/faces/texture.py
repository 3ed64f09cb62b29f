"""Textures in the coordinates of the face mesh, at several sizes, so that small faces are drawn without aliasing."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_LEAST = 16  # side of the smallest level


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """Attributes: `levels`: (S, S, C) uint8 or float32, each half as large as the one before."""

    levels: tuple[NDArray[np.uint8] | Floats, ...]

    @property
    def side(self) -> int:
        """Of the largest level, in pixels."""
        return len(self.levels[0])

    def sampled(self, uv: Floats, footprint: Floats) -> Floats:
        """Colours at places.

        Args:
            uv: (H, W, 2) float32 in [0, 1].
            footprint: (H, W) how many texels of the largest level a pixel covers, across.

        Returns:
            (H, W, C) float32: between the two levels that fit best.
        """
        level = np.clip(np.log2(np.maximum(footprint, 1e-6)), 0, len(self.levels) - 1)
        first, last = int(np.floor(level.min())), int(np.ceil(level.max()))
        result: Floats | None = None
        for number in range(first, last + 1):
            share = np.clip(1 - np.abs(level - number), 0, 1)[..., None].astype(np.float32)
            part = share * _looked_up(self.levels[number], uv)
            result = part if result is None else result + part
        return np.zeros((*uv.shape[:2], 3), np.float32) if result is None else result


def pyramid(texture: NDArray[np.uint8] | Floats) -> Texture:
    """All levels of a (S, S, C) texture."""
    levels = [texture]
    while len(levels[-1]) >= 2 * _LEAST:
        half = len(levels[-1]) // 2
        levels.append(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA))
    return Texture(tuple(levels))


def _looked_up(texture: NDArray[np.uint8] | Floats, uv: Floats) -> Floats:
    places = uv * len(texture) - np.float32(0.5)
    found = cv2.remap(
        texture, places[..., 0], places[..., 1], interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.atleast_3d(found).astype(np.float32)
