"""The body's surface in datasets: what a vertex means, and which vertex is its mirror image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dp2.data.pictures import decode_array, read_bytes, torch_table
from dp2.errors import DatasetError, WeightsError

VERTICES = 27554  # of the SMPL mesh that DensePose CSE is defined on
_KEY = "vertex_transforms"  # of DensePose's published symmetry file


def load_embed_map(path: str | Path, *, normalize: bool = False) -> Tensor:
    """The embedding of every vertex.

    Args:
        path: FDH's `embed_map.torch` or COCO-CSE's `embed_map.npy`.
        normalize: to mean 0 and variance 1 in each channel; FDH's file already is, COCO-CSE's is not.

    Returns:
        (V, C) float32.

    Raises:
        DatasetError: it is missing, damaged, or holds something else.
    """
    table = _table(Path(path))
    if table.ndim != 2 or not table.is_floating_point() or not torch.isfinite(table).all():
        raise DatasetError(f"{path}: is no table of embeddings, one row a vertex.")
    table = table.float()
    if not normalize:
        return table
    spread = (table - table.mean(0)).square().mean(0)
    return (table - table.mean(0)) * (spread + 1e-8).rsqrt()


def load_symmetry(path: str | Path) -> Tensor:
    """For every vertex the one on the body's other side.

    Args:
        path: (V,) whole numbers as .npy, or DensePose's published `symmetry_smpl_27554.pkl`.

    Returns:
        (V,) int64; applied twice it gives every vertex back, as far as the file does.

    Raises:
        DatasetError: it is missing, damaged, or names vertices that do not exist.
    """
    source = Path(path)
    table = torch.from_numpy(_symmetry_pickle(source)) if source.suffix == ".pkl" else _table(source)
    if table.ndim != 1 or table.is_floating_point() or not len(table):
        raise DatasetError(f"{path}: is no table of vertices, one number a vertex.")
    table = table.long()
    if int(table.min()) < 0 or int(table.max()) >= len(table):
        raise DatasetError(f"{path}: names vertices beyond its {len(table)}.")
    return table


def _table(path: Path) -> Tensor:
    if path.suffix == ".npy":
        return torch.from_numpy(np.array(decode_array(read_bytes(path), str(path))))
    return torch_table(path, "tensor")


def _symmetry_pickle(path: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    import io

    from dp2.weights.formats.numpy_pickle import NUMPY_NAMES
    from dp2.weights.formats.pickles import read_pickle

    try:
        content = read_pickle(io.BytesIO(read_bytes(path)), NUMPY_NAMES, str(path))
    except WeightsError as error:
        raise DatasetError(str(error)) from error
    table = content.get(_KEY) if isinstance(content, dict) else None
    if not isinstance(table, np.ndarray) or table.dtype.kind not in "iu":
        raise DatasetError(f"{path}: is no pickle with a table `{_KEY}`.")
    return table.astype(np.int64).reshape(-1)
