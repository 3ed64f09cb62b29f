"""Tiny made-up sets of every format, to try training and to test it: drawn figures, no real person."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dp2.data.surfaces import VERTICES
from dp2.errors import UsageError
from dp2.types import Image

_EMBEDDING = 16
_SHARD = 8  # samples in a shard: more than one shard even of a tiny set
# x, y of COCO's 17 keypoints on a figure that fills (0, 0) to (1, 1); seen from the front, its left is to the right
_FIGURE = np.array([
    (0.50, 0.12), (0.55, 0.09), (0.45, 0.09), (0.60, 0.11), (0.40, 0.11), (0.70, 0.26), (0.30, 0.26), (0.80, 0.42),
    (0.20, 0.42), (0.85, 0.56), (0.15, 0.56), (0.62, 0.56), (0.38, 0.56), (0.64, 0.76), (0.36, 0.76), (0.65, 0.95),
    (0.35, 0.95),
])  # fmt: skip
_BONES = ((5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16))


def synthesize(kind: str, folder: Path, *, count: int = 24, seed: int = 0) -> None:
    """Write a tiny set of one format, with a split to train and one of a third of its size to validate.

    Args:
        kind: one of `FORMATS`.
        folder: where its splits go, as the format's readers expect them; it must not exist.
        count: samples to train.
        seed: decides the pictures.

    Raises:
        UsageError: no such format, or the folder exists.
    """
    if kind not in FORMATS:
        raise UsageError(f"there is no format {kind}; choose one of {', '.join(FORMATS)}.")
    if folder.exists():
        raise UsageError(f"{folder}: exists already; name a new folder.")
    rng = np.random.default_rng(seed)
    for split, number in (("train", count), ("val", max(1, count // 3))):
        (folder / split).mkdir(parents=True)
        FORMATS[kind](folder / split, number, rng)


def drawn_face(size: int, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64], NDArray[np.int64]]:
    """A face on a soft background.

    Returns:
        (size, size, 3) uint8 RGB; (7, 2) nose, eyes, ears, shoulders as fractions; (4,) box in pixels.
    """
    image = _background(size, size, rng)
    centre = np.array([0.5, 0.45]) + rng.uniform(-0.05, 0.05, 2)
    radius = rng.uniform(0.17, 0.24)
    offsets = np.array([(0, 0.1), (0.4, -0.25), (-0.4, -0.25), (0.95, 0), (-0.95, 0), (1.6, 2.2), (-1.6, 2.2)])
    points = centre + offsets * radius
    skin = rng.integers(70, 230, 3).tolist()
    shoulders = (points[5:] * size).astype(int)
    cv2.line(image, tuple(shoulders[0].tolist()), tuple(shoulders[1].tolist()), skin[::-1], max(1, size // 6))
    axes = (max(1, int(radius * size)), max(1, int(1.3 * radius * size)))
    middle = tuple((centre * size).astype(int).tolist())
    cv2.ellipse(image, middle, axes, 0, 0, 360, skin, -1, cv2.LINE_AA)
    for x, y in (points[:3] * size).astype(int).tolist():
        cv2.circle(image, (x, y), max(1, size // 40), (30, 30, 40), -1, cv2.LINE_AA)
    reach = np.array([1.0, 1.3]) * radius * 1.1
    box = np.concatenate([centre - reach, centre + reach]) * size
    return image, points, box.round().clip(0, size).astype(np.int64)


def drawn_body(
    height: int, width: int, rng: np.random.Generator
) -> tuple[Image, NDArray[np.float32], NDArray[np.bool_], NDArray[np.int32]]:
    """A standing figure.

    Returns:
        (height, width, 3) uint8 RGB; (17, 3) keypoints as fractions and visibility, some outside the picture;
        (height, width) bool, True on the figure; (height, width) int32 vertices, 0 off the figure.
    """
    image = _background(height, width, rng)
    corner, span = rng.uniform(0.05, 0.2, 2), rng.uniform(0.75, 0.98, 2)
    points = corner + _FIGURE * span
    body = np.zeros((height, width), np.uint8)
    places = (points * [width, height]).astype(int)
    thick = max(2, width // 9)
    for start, end in _BONES:
        cv2.line(body, tuple(places[start].tolist()), tuple(places[end].tolist()), 1, thick)
    cv2.fillConvexPoly(body, places[[5, 6, 12, 11]], 1)
    cv2.circle(body, tuple(places[0].tolist()), max(2, width // 8), 1, -1)
    image[body > 0] = rng.integers(40, 220, 3)
    rows, columns = np.mgrid[:height, :width]
    vertices = ((rows * 97 + columns * 31) % VERTICES * (body > 0)).astype(np.int32)
    shown = ((points >= 0) & (points <= 1)).all(axis=1, keepdims=True)
    keypoints = np.concatenate([points, shown], 1).astype(np.float32)
    return image, keypoints, body > 0, vertices


def _background(height: int, width: int, rng: np.random.Generator) -> Image:
    coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    smooth: Image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth


def _fdf128(folder: Path, count: int, rng: np.random.Generator) -> None:
    boxes = _write_faces(folder, folder / "images" / "128", 128, count, rng)
    (folder / "bounding_box").mkdir()
    torch.save(torch.from_numpy(boxes), folder / "bounding_box" / "128.torch")


def _fdf256(folder: Path, count: int, rng: np.random.Generator) -> None:
    np.save(folder / "bounding_box.npy", _write_faces(folder, folder / "images", 256, count, rng))


def _write_faces(folder: Path, images: Path, size: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    images.mkdir(parents=True)
    points, boxes = [], []
    for number in range(count):
        image, places, box = drawn_face(size, rng)
        (images / f"{number}.png").write_bytes(_png(image))
        points.append(places)
        boxes.append(box)
    np.save(folder / "landmarks.npy", np.array(points, np.float32).reshape(count, -1))
    return np.array(boxes)


def _fdh(folder: Path, count: int, rng: np.random.Generator) -> None:
    torch.save(_embeddings(rng), folder.parent / "embed_map.torch")
    for shard, start in enumerate(range(0, count, _SHARD)):
        with tarfile.open(folder / f"out-{shard:06d}.tar", "w") as tar:
            for number in range(start, min(start + _SHARD, count)):
                for name, data in _fdh_members(rng).items():
                    info = tarfile.TarInfo(f"{number:08d}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def _fdh_members(rng: np.random.Generator) -> Mapping[str, bytes]:
    image, keypoints, body, vertices = drawn_body(288, 160, rng)
    return {
        "image.png": _png(image),
        "mask.png": _png(np.where(_widened(body), 0, 255).astype(np.uint8)),
        "maskrcnn_mask.png": _png(body.astype(np.uint8) * 255),
        "keypoints.npy": _npy(keypoints),
        "vertices.npy": _npy(vertices),
        "e_mask.png": _png(body.astype(np.uint8) * 255),
    }


def _coco_cse(folder: Path, count: int, rng: np.random.Generator) -> None:
    for name in ("images", "embedding"):
        (folder / name).mkdir()
    np.save(folder / "embed_map.npy", _embeddings(rng).numpy())
    for number in range(count):
        image, _, body, vertices = drawn_body(288, 160, rng)
        hole = _widened(body)
        (folder / "images" / f"{number:06d}.png").write_bytes(_png(image))
        layers = np.stack([vertices, ~hole, hole & ~body], 2).astype(np.int32)
        np.save(folder / "embedding" / f"{number:06d}.npy", layers)


def _embeddings(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.standard_normal((VERTICES, _EMBEDDING)).astype(np.float32))


def _widened(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide: NDArray[np.bool_] = cv2.dilate(body.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return wide


def _png(image: NDArray[np.uint8]) -> bytes:
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise UsageError(f"a picture of shape {image.shape} cannot be written as PNG.")
    return data.tobytes()


def _npy(array: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[Path, int, np.random.Generator], None]] = {
    "fdf128": _fdf128,
    "fdf256": _fdf256,
    "fdh": _fdh,
    "coco_cse": _coco_cse,
}
