"""The face model from many meshes: their mean, how people differ, how a face moves, and the layout of textures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dp2.errors import OutputError
from dp2.faces.mesh import POINTS, RIGID, FaceModel, Floats, measures
from dp2.faces.pose import rigid

_ROUNDS = 5
_SHAPES = 60
_EDGE = 0.012  # of the texture's side, left free around the points
_CENTRE = 0.2  # by how much the middle of the texture is enlarged at the cost of the sides
_RIDGE = 1e-3


def fitted_model(meshes: Floats) -> tuple[FaceModel, Floats]:
    """The model of (N, 468, 3) near-frontal meshes in pixels, and the meshes in its coordinates."""
    aligned = _sized(meshes.astype(np.float64))
    mean = _sized(aligned.mean(0))
    for _ in range(_ROUNDS):
        aligned = np.stack([_onto(points, mean) for points in aligned])
        mean = _sized(_facing(aligned.mean(0)))
    mirror = _mirror(mean)
    mean = _sized((mean + _mirrored(mean, mirror)) / 2)
    aligned = np.stack([_onto(points, mean) for points in aligned])
    both = np.concatenate([aligned, _mirrored(aligned, mirror)]).astype(np.float32)
    seen = measures(both)
    usual = seen.mean(0)
    expressions = _moves(both, seen - usual)
    still = both - np.tensordot(seen - usual, expressions, 1)
    mean = still.mean(0)
    shapes = _components((still - mean).reshape(len(still), -1)).reshape(-1, POINTS, 3)
    uv = texture_layout(mean)
    model = FaceModel(
        mean=mean.astype(np.float32),
        uv=uv,
        triangles=triangulated(uv),
        mirror=mirror,
        shapes=shapes.astype(np.float32),
        expressions=expressions.astype(np.float32),
        usual=usual.astype(np.float32),
    )
    return model, aligned.astype(np.float32)


def texture_layout(mean: NDArray[np.floating]) -> Floats:
    """(468, 2) in [0, 1]: the mean face unrolled from a cylinder, its middle enlarged."""
    depth = mean[:, 2].max() - mean[:, 2] + 0.35 * np.ptp(mean[:, 2])
    angle = np.arctan2(mean[:, 0], depth)
    across = angle + _CENTRE * np.sin(2 * angle)
    uv = np.stack([across, mean[:, 1]], 1)
    low, high = uv.min(0), uv.max(0)
    low[0], high[0] = -np.abs(across).max(), np.abs(across).max()
    return np.asarray((uv - low) / (high - low) * (1 - 2 * _EDGE) + _EDGE, np.float32)


def triangulated(uv: Floats) -> NDArray[np.int32]:
    """(T, 3): Delaunay's triangles of the texture, all turned the same way."""
    from scipy.spatial import Delaunay

    triangles = Delaunay(uv).simplices
    a, b, c = (uv[triangles[:, corner]] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles = np.where((area > 0)[:, None], triangles, triangles[:, ::-1])
    return np.ascontiguousarray(triangles[np.abs(area) > 1e-9], np.int32)


def _moves(points: Floats, measured: Floats) -> Floats:
    """(E, 468, 3): displacement that goes with each measure alone, by least squares."""
    flat = (points - points.mean(0)).reshape(len(points), -1)
    normal = measured.T @ measured + _RIDGE * len(points) * np.diag(measured.var(0))
    return np.asarray(np.linalg.solve(normal, measured.T @ flat).reshape(-1, POINTS, 3), np.float32)


def _components(rows: Floats) -> Floats:
    """(K, D) principal components of (N, D), times their standard deviations."""
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    order = np.argsort(values)[::-1][:_SHAPES]
    return np.asarray(vectors[:, order].T * np.sqrt(np.maximum(values[order], 0))[:, None], np.float32)


def _sized(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean 0, mean distance from it 1."""
    centred = points - points.mean(-2, keepdims=True)
    sized: NDArray[np.float64] = centred / np.linalg.norm(centred, axis=-1).mean(-1)[..., None, None]
    return sized


def _onto(points: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    scale, rotation, shift = rigid(points[list(RIGID)], mean[list(RIGID)])
    return scale * points @ rotation.T + shift


def _facing(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turned about y until both outer corners of the eyes are equally deep."""
    across = points[263] - points[33]
    angle = np.arctan2(across[2], across[0])
    c, s = np.cos(angle), np.sin(angle)
    turned: NDArray[np.float64] = points @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return turned


def _mirror(mean: NDArray[np.float64]) -> NDArray[np.int32]:
    from scipy.optimize import linear_sum_assignment

    centred = mean * (1, 1, 1) - (mean[[33, 263], 0].mean(), 0, 0)
    distance = np.linalg.norm(centred[:, None] - centred[None] * (-1, 1, 1), axis=2)
    return np.asarray(linear_sum_assignment(distance**2)[1], np.int32)


def _mirrored(points: NDArray[np.float64], mirror: NDArray[np.int32]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = points[..., mirror, :] * (-1, 1, 1)
    return result


def save_model(model: FaceModel, path: Path) -> None:
    """Write a model's file; bases with half precision.

    Raises:
        OutputError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {name: getattr(model, name) for name in ("mean", "uv", "usual")}
    arrays |= {name: getattr(model, name).astype(np.float16) for name in ("shapes", "expressions")}
    arrays |= {name: getattr(model, name).astype(np.int16) for name in ("triangles", "mirror")}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, str(path))
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: the face model cannot be written ({error}).") from error
