"""Drawing a face: which triangle of the mesh each pixel shows, and what of a texture lies there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.faces.mesh import FaceModel, Floats, Indices
from dp2.faces.texture import Texture

_SUBPIXEL = 4  # bits
_FLAT = 1e-3  # square pixels: smaller triangles show nothing
_FARTHEST = 1 << 20  # pixels: what lies farther out is not drawn


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """What each pixel of a picture shows of a mesh.

    Attributes:
        points: (P, 2) float32 in pixels.
        triangles: (T, 3) int32.
        shown: (H, W) int32: a triangle, or -1.
    """

    points: Floats
    triangles: Indices
    shown: Indices

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), true on the mesh."""
        result: NDArray[np.bool_] = self.shown >= 0
        return result

    def interpolated(self, values: Floats) -> Floats:
        """(H, W, C) of (P, C) values at the points, linear within triangles; anything off the mesh."""
        corners = values[self.triangles]  # (T, 3, C)
        slopes = self._slopes(corners)
        height, width = self.shown.shape
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        at = slopes[self.shown]  # (H, W, 3, C)
        found = at[..., 0, :] * x[..., None] + at[..., 1, :] * y[..., None] + at[..., 2, :]
        # A pixel on an edge may lie a little outside of its triangle, which for a thin one is far away.
        low, high = corners.min(1), corners.max(1)
        return np.asarray(np.clip(found, low[self.shown], high[self.shown]), np.float32)

    def footprint(self, uv: Floats, side: int) -> Floats:
        """(H, W) texels that a pixel covers, for a texture of `side` texels."""
        slopes = self._slopes(uv[self.triangles])[:, :2] * side  # (T, xy, uv)
        area = np.abs(slopes[:, 0, 0] * slopes[:, 1, 1] - slopes[:, 0, 1] * slopes[:, 1, 0])
        square = (slopes**2).sum((1, 2))
        longest = np.sqrt((square + np.sqrt(np.maximum(square**2 - 4 * area**2, 0))) / 2)
        texels: Floats = np.sqrt(longest * np.sqrt(area)).astype(np.float32)[self.shown]
        return texels

    def _slopes(self, corners: Floats) -> Floats:
        """(T, 3, C): change per pixel in x and in y, and the value at the origin."""
        a, b, c = (self.points[self.triangles[:, corner]] for corner in range(3))
        ab, ac = b - a, c - a
        area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
        area = np.where(np.abs(area) < _FLAT, _FLAT, area)[:, None]
        first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        dx = (first * ac[:, 1:] - second * ab[:, 1:]) / area
        dy = (second * ab[:, :1] - first * ac[:, :1]) / area
        origin = corners[:, 0] - dx * a[:, :1] - dy * a[:, 1:]
        return np.stack([dx, dy, origin], 1).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """Attributes: `image` (H, W, 3) float32 RGB in [0, 255], 0 off the face; `mask` (H, W) bool, true on it."""

    image: Floats
    mask: NDArray[np.bool_]


def rasterized(points: Floats, triangles: Indices, size: tuple[int, int]) -> Raster:
    """Which triangle each pixel shows: those that face the camera, near ones over far ones.

    Args:
        points: (P, 3) in pixels (centres at whole numbers), z away from the camera.
        triangles: (T, 3), clockwise on the screen from their front.
        size: (height, width) of the picture.
    """
    flat = points[:, :2].astype(np.float32)
    a, b, c = (flat[triangles[:, corner]] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    depth = points[triangles, 2].mean(1)
    shown = np.full(size, -1, np.int32)
    order = np.argsort(-depth, kind="stable")
    inside = (np.abs(flat[triangles]) < _FARTHEST).all((1, 2)) & np.isfinite(depth)
    corners = np.zeros((len(triangles), 3, 2), np.int32)
    corners[inside] = np.round(flat[triangles[inside]] * (1 << _SUBPIXEL))
    for number in order[((area > _FLAT) & inside)[order]].tolist():
        cv2.fillConvexPoly(shown, corners[number], number, cv2.LINE_8, _SUBPIXEL)
    return Raster(flat, triangles, shown)


def rendered(texture: Texture, points: Floats, model: FaceModel, size: tuple[int, int]) -> Rendering:
    """A face as it looks in a picture.

    Args:
        texture: of three channels, RGB.
        points: (468, 3) in pixels, see `rasterized`.
        model: whose triangles and places on the texture are used.
        size: (height, width).
    """
    raster = rasterized(points, model.triangles, size)
    mask = raster.mask
    if not mask.any():
        return Rendering(np.zeros((*size, 3), np.float32), mask)
    uv = raster.interpolated(model.uv)
    footprint = np.where(mask, raster.footprint(model.uv, texture.side), 1)
    image = texture.sampled(uv, footprint.astype(np.float32)) * mask[..., None]
    return Rendering(image, mask)
