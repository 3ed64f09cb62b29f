"""Flickr Diverse Humans (Hukkelås & Lindseth 2023): bodies at 288×160 in webdataset shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dp2.data.batch import Sample
from dp2.data.pictures import decode_array, decode_mask, decode_rgb
from dp2.data.surfaces import VERTICES, load_symmetry
from dp2.data.tar_shards import TarShards, find_shards
from dp2.data.transforms import COCO_MIRROR, mirrored
from dp2.errors import DatasetError

_IMAGE, _MASK, _SILHOUETTE, _KEYPOINTS = "image.png", "mask.png", "maskrcnn_mask.png", "keypoints.npy"
_VERTICES, _SURFACE = "vertices.npy", "e_mask.png"
_SIZE = (288, 160)


class Fdh:
    """FDH: per sample `image.png`, `mask.png`, `maskrcnn_mask.png`, `keypoints.npy`, `vertices.npy`, `e_mask.png`.

    Args:
        folder: that of a split with its `out-*.tar`, e.g. `data/fdh/train`.
        surface: give the vertices along.
        mirror: how often a sample is mirrored, 0 to 1.
        symmetry: file of vertices' counterparts, needed to mirror samples with a surface; see
            `dp2.data.surfaces.load_symmetry`.

    Raises:
        DatasetError: files are missing or damaged, or samples with a surface are to be mirrored without its symmetry.
    """

    resolution = _SIZE

    def __init__(self, folder: str, *, surface: bool = True, mirror: float = 0.0, symmetry: str | None = None) -> None:
        if surface and mirror > 0 and symmetry is None:
            raise DatasetError(
                "samples with a surface cannot be mirrored without the mesh's symmetry: set mirror=0, or "
                "symmetry=FILE with DensePose's symmetry_smpl_27554.pkl."
            )
        members = (_IMAGE, _MASK, _SILHOUETTE, _KEYPOINTS)
        self._shards = TarShards(find_shards(Path(folder)), (*members, _VERTICES, _SURFACE) if surface else members)
        self._surface = surface
        self._mirror = mirror
        self._symmetry = load_symmetry(symmetry) if symmetry is not None else None

    def __len__(self) -> int:
        return len(self._shards)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """See `dp2.data.batch.Dataset`."""
        read, where = self._shards.read, self._shards.where(index)
        image = decode_rgb(read(index, _IMAGE), where, _SIZE)
        sample = Sample(
            image=torch.from_numpy(image.transpose(2, 0, 1).copy()),
            mask=torch.from_numpy(decode_mask(read(index, _MASK), where, _SIZE)[None]),
            keypoints=_keypoints(decode_array(read(index, _KEYPOINTS), where), where),
            vertices=self._vertices(index, where) if self._surface else None,
            silhouette=torch.from_numpy(decode_mask(read(index, _SILHOUETTE), where, _SIZE)[None]),
        )
        return mirrored(sample, COCO_MIRROR, self._symmetry) if rng.random() < self._mirror else sample

    def _vertices(self, index: int, where: str) -> torch.Tensor:
        vertices = decode_array(self._shards.read(index, _VERTICES), where)
        body = decode_mask(self._shards.read(index, _SURFACE), where, _SIZE)
        return surface(vertices, body, where)


def surface(vertices: NDArray[np.generic], body: NDArray[np.bool_], where: str) -> torch.Tensor:
    """(H, W) int64 with -1 off the body, from (H, W) vertices with axes of length 1 wherever.

    Raises:
        DatasetError: the shape does not fit the body's, or a vertex does not exist.
    """
    if vertices.size != body.size:
        raise DatasetError(f"{where}: vertices of shape {vertices.shape} do not fit {body.shape} pixels.")
    numbers = np.where(body, vertices.reshape(body.shape).astype(np.int64), -1)
    if int(numbers.max(initial=-1)) >= VERTICES or int(numbers[body].min(initial=0)) < 0:
        raise DatasetError(f"{where}: names a vertex beyond the {VERTICES} of the mesh.")
    return torch.from_numpy(numbers)


def _keypoints(values: NDArray[np.generic], where: str) -> torch.Tensor:
    """(17, 3) float32; not visible where x or y leaves the picture."""
    if values.size != len(COCO_MIRROR) * 3 or not np.isfinite(values).all():
        raise DatasetError(f"{where}: keypoints of shape {values.shape} are not 17 of x, y and visibility.")
    points = values.reshape(-1, 3).astype(np.float32)
    inside = ((points[:, :2] >= 0) & (points[:, :2] <= 1)).all(1)
    points[:, 2] = (points[:, 2] > 0) & inside
    return torch.from_numpy(points)
