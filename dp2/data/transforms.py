"""Moves a picture and everything that lies on it together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dp2.data.batch import Sample
from dp2.errors import DatasetError

# Which keypoint becomes which in a mirror: the person's left and right change places.
COCO_MIRROR = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
FDF_MIRROR = COCO_MIRROR[:7]  # nose, eyes, ears, shoulders
FACE_MIRROR = (1, 0, 2, 4, 3)  # eyes, nose, corners of the mouth


def mirrored(sample: Sample, keypoints: Sequence[int] = (), vertices: Tensor | None = None) -> Sample:
    """Left and right swapped.

    Args:
        sample: what to mirror.
        keypoints: for each keypoint the number of its counterpart on the other side (itself in the middle).
        vertices: (V,) int64, for each vertex of the body's mesh its counterpart.

    Raises:
        DatasetError: the sample has keypoints or vertices, and their counterparts are not given.
    """
    points, surface = sample.keypoints, sample.vertices
    if points is not None:
        if len(keypoints) != len(points):
            raise DatasetError(f"{len(points)} keypoints cannot be mirrored with a table of {len(keypoints)}.")
        points = points[list(keypoints)]
        points = torch.cat([1 - points[:, :1], points[:, 1:]], 1)
    if surface is not None:
        if vertices is None:
            raise DatasetError("a surface cannot be mirrored without its symmetry; set mirror=0 or name the symmetry.")
        surface = surface.flip(-1)
        surface = torch.where(surface >= 0, vertices[surface.clamp(min=0)], surface)
    silhouette = None if sample.silhouette is None else sample.silhouette.flip(-1)
    return replace(
        sample,
        image=sample.image.flip(-1),
        mask=sample.mask.flip(-1),
        keypoints=points,
        vertices=surface,
        silhouette=silhouette,
    )


def resized(sample: Sample, resolution: tuple[int, int]) -> Sample:
    """At another size. Pictures are averaged; masks and surfaces take the nearest pixel; keypoints are fractions.

    Args:
        sample: what to resize.
        resolution: (height, width).
    """
    if tuple(sample.image.shape[1:]) == resolution:
        return sample
    image = F.interpolate(sample.image[None].float(), resolution, mode="bilinear", antialias=True, align_corners=False)
    vertices = None if sample.vertices is None else _nearest(sample.vertices[None], resolution)[0]
    silhouette = None if sample.silhouette is None else _nearest(sample.silhouette, resolution)
    return replace(
        sample,
        image=image[0].round().clamp(0, 255).to(torch.uint8),
        mask=_nearest(sample.mask, resolution),
        vertices=vertices,
        silhouette=silhouette,
    )


def _nearest(values: Tensor, resolution: tuple[int, int]) -> Tensor:
    """(C, H, W) of any type, exactly: no number passes through a float."""
    rows, columns = (
        ((torch.arange(new) * 2 + 1) * old // (2 * new)).clamp(max=old - 1)
        for new, old in zip(resolution, values.shape[1:], strict=True)
    )
    return values[:, rows][:, :, columns]
