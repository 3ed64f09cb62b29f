"""New people from portraits: skin of one, coarse form of two, eyes, nose and mouth of others of like tone and age.

Parts are joined by blending each band of detail over a width of its own.

Source: Burt and Adelson, "A Multiresolution Spline With Application to Image Mosaics" (ACM TOG 1983).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.faces.mesh import FaceModel, Floats

Picture = NDArray[np.uint8]
Whole = NDArray[np.int64]
PARTS = {
    "eyes": (70, 63, 105, 66, 107, 9, 336, 296, 334, 293, 300, 383, 372, 340, 346, 347, 348, 343, 357, 351, 6, 122, 128,
             114, 119, 118, 117, 111, 143, 156),
    "nose": (168, 417, 412, 437, 420, 429, 358, 327, 326, 2, 97, 98, 129, 209, 198, 217, 188, 193),
    "mouth": (164, 391, 322, 410, 287, 273, 335, 406, 313, 18, 83, 182, 106, 43, 57, 186, 92, 165),
}  # fmt: skip
_BANDS = 6
_COARSE = 0.055  # of the side: coarser than that, two people are mixed
_TONE = (10.0, 5.0, 6.0)  # of L, a, b (8-bit Lab): how alike parts are in tone
_ALONE = 0.85  # the most that one portrait's coarse form counts
_BEARD = 14.0


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What is mixed.

    Attributes:
        texture: from a number to its clean (S, S, 3) uint8 texture.
        shapes: (N, K) coefficients.
        tones: (N, 3) Lab of the skin, 8 bit.
        beards: (N,) how much darker the chin is than the cheeks, in L.
        women: (N,) probability.
        ages: (N,) from 0 = young to 2 = old.
        large: (N,) bool: has fine detail.
        usable: (N,) bool.
    """

    texture: Callable[[int], Picture]
    shapes: Floats
    tones: Floats
    beards: Floats
    women: Floats
    ages: Floats
    large: NDArray[np.bool_]
    usable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """A new person: (S, S, 3) uint8 texture, (K,) shape, and the portraits it was made of."""

    texture: Picture
    shape: Floats
    sources: tuple[int, ...]
    woman: float
    age: float


class Mixer:
    """Makes new people.

    Args:
        sources: portraits.
        model: of faces.
        side: of textures.
    """

    def __init__(self, sources: Sources, model: FaceModel, side: int) -> None:
        self._sources, self._model, self._side = sources, model, side
        self._masks = {name: _part(model, points, side) for name, points in PARTS.items()}

    def mixed(self, base: int, rng: np.random.Generator) -> Mixed:
        """One with the skin of the portrait `base`."""
        s = self._sources
        others = self._alike(base, rng, len(PARTS) + 1)
        second, parts = others[0], dict(zip(PARTS, others[1:], strict=True))
        own = rng.uniform(0.5, _ALONE)
        skin, more = s.texture(base).astype(np.float32), s.texture(second).astype(np.float32)
        sigma = _COARSE * self._side
        texture = skin + (1 - own) * (cv2.GaussianBlur(more, (0, 0), sigma) - cv2.GaussianBlur(skin, (0, 0), sigma))
        shape = own * s.shapes[base] + (1 - own) * s.shapes[second]
        points = np.tensordot(shape, self._model.shapes, 1)
        for name, number in parts.items():
            mask = self._masks[name]
            texture = _joined(texture, s.texture(number).astype(np.float32), mask)
            weight = _at(mask, self._model)[:, None]
            points = points + weight * (np.tensordot(s.shapes[number], self._model.shapes, 1) - points)
        made_of = (base, *others)
        return Mixed(
            np.clip(texture + 0.5, 0, 255).astype(np.uint8),
            _coefficients(points, self._model),
            made_of,
            float(np.average(s.women[list(made_of)], weights=(2, 1, 1, 1, 1))),
            float(np.average(s.ages[list(made_of)], weights=(2, 1, 1, 1, 1))),
        )

    def _alike(self, base: int, rng: np.random.Generator, count: int) -> list[int]:
        """Different portraits near one in tone, age and presentation, with a beard if it has one."""
        s = self._sources
        far = np.abs((s.tones - s.tones[base]) / _TONE).sum(1)
        far = far + 2.5 * np.abs(s.ages - s.ages[base]) + 4 * np.abs(s.women - s.women[base])
        far = far + 1.5 * np.abs((s.beards > _BEARD).astype(float) - float(s.beards[base] > _BEARD))
        far = far + rng.uniform(0, 1.2, len(far)) - 0.9 * s.large
        far[~s.usable] = np.inf
        far[base] = np.inf
        nearest = np.argsort(far)[:24]
        return [int(number) for number in rng.choice(nearest, count, replace=False)]


def _joined(base: Floats, other: Floats, mask: Floats) -> Floats:
    """`other` where the mask is 1, in the tone of `base`."""
    inside = mask > 0.5
    other = other + (base[inside].mean(0) - other[inside].mean(0))
    return _blended([base, other], [1 - mask, mask])


def _blended(pictures: Sequence[Floats], masks: Sequence[Floats]) -> Floats:
    total: Floats | None = None
    weights = [_lows(mask) for mask in masks]
    bands = [_lows(picture) for picture in pictures]
    for level in range(_BANDS, -1, -1):
        height, width = bands[0][level].shape[:2]
        mixed = np.zeros_like(bands[0][level])
        for lows, weight in zip(bands, weights, strict=True):
            band = lows[level]
            if level < _BANDS:
                band = band - cv2.pyrUp(lows[level + 1], dstsize=(width, height))
            mixed += band * weight[level][..., None]
        total = mixed if total is None else cv2.pyrUp(total, dstsize=(width, height)) + mixed
    return np.zeros_like(pictures[0]) if total is None else total


def _lows(picture: Floats) -> list[Floats]:
    lows = [picture]
    for _ in range(_BANDS):
        lows.append(cv2.pyrDown(lows[-1]))
    return lows


def _part(model: FaceModel, points: Sequence[int], side: int) -> Floats:
    """(S, S) in [0, 1]: soft mask of what lies within points of the texture."""
    mask = np.zeros((side, side), np.uint8)
    outline = np.round((model.uv[list(points)] * side - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [cv2.convexHull(outline)], 1, cv2.LINE_8, 4)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), side / 90)
    return np.asarray((soft + soft[:, ::-1]) / 2, np.float32)


def _at(mask: Floats, model: FaceModel) -> Floats:
    """(468,) of a mask, softened: shapes change more slowly than textures."""
    side = len(mask)
    soft = cv2.GaussianBlur(mask, (0, 0), side / 25)
    x, y = np.clip((model.uv * side).astype(int), 0, side - 1).T
    return np.asarray(soft[y, x], np.float32)


def _coefficients(points: Floats, model: FaceModel) -> Floats:
    """(K,) of a displacement of all points."""
    basis = model.shapes.reshape(len(model.shapes), -1)
    norms = (basis**2).sum(1)
    return np.asarray(basis @ points.ravel() / np.maximum(norms, 1e-12), np.float32)
