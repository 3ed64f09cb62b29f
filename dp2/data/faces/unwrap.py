"""Textures of portraits: what of a picture lies at each place of the face mesh, and from how steep a view."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.faces.mesh import FaceModel, Floats
from dp2.faces.render import Raster, rasterized

_GRAZING = 0.25  # of a texel's area left in the picture, in the middle's: from there on texels are smears


def texture_raster(model: FaceModel, side: int) -> Raster:
    """Which triangle lies where on a texture of `side` texels."""
    flat = np.concatenate([model.uv * side - 0.5, np.zeros((len(model.uv), 1), np.float32)], 1)
    return rasterized(flat.astype(np.float32), model.triangles, (side, side))


def unwrapped(image: NDArray[np.uint8], points: Floats, raster: Raster) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 texture of a picture with a mesh in it; 0 off the mesh.

    Args:
        image: (H, W, 3) uint8.
        points: (468, 3) in pixels.
        raster: of the texture.
    """
    places = raster.interpolated(points[:, :2].astype(np.float32))
    found = cv2.remap(
        image, places[..., 0], places[..., 1], interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    texture: NDArray[np.uint8] = found * raster.mask[..., None]
    return texture


def visibility(points: Floats, raster: Raster) -> Floats:
    """(S, S) float32 in [0, 1]: 1 where the texture was seen from the front, 0 where it was not seen."""
    corners = points[raster.triangles, :2]
    drawn = raster.points[raster.triangles]
    ratio = _areas(corners) / np.maximum(_areas(drawn), 1e-6)
    middle = np.median(ratio[ratio > 0]) if (ratio > 0).any() else 1.0
    seen = np.clip(ratio / middle / _GRAZING - 0.5, 0, 1).astype(np.float32)
    result: Floats = np.where(raster.mask, seen[raster.shown], 0).astype(np.float32)
    return result


def _areas(corners: Floats) -> Floats:
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas: Floats = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    return areas
