"""Sheets of training samples to look at: picture, hole, keypoints, surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.batch import Sample
from dp2.data.crop_shards import StoredCrop, whole_window
from dp2.errors import OutputError
from dp2.sink.atomic import atomic_path
from dp2.types import Image

_SIDE = 160
_GAP = 4
_PAPER = (245, 245, 245)
_HOLE = (127, 127, 127)
_LINE = (255, 214, 10)
_POINT = (255, 60, 60)
_OUTSIDE = 0.45  # brightness of what lay outside the photo
_GOLDEN = 0.618033988749895  # neighbouring vertices get colours far apart


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """The pictures of one sample, shown side by side.

    Attributes:
        images: (h, w, 3) uint8 RGB each.
    """

    images: tuple[Image, ...]


def crop_tile(crop: StoredCrop) -> Tile:
    """A stored crop with its box, keypoints and mask; what lay outside the photo is dark."""
    picture, inside = whole_window(crop)
    shown = np.where(inside[..., None], picture, picture * _OUTSIDE).astype(np.uint8)
    record = crop.record
    factor = _factor(shown)
    shown = _resized(shown, factor)
    origin = np.array([round(record.window[0]), round(record.window[1])])
    corners = np.rint((np.array(record.box).reshape(2, 2) - origin) * factor).astype(int)
    cv2.rectangle(shown, tuple(corners[0].tolist()), tuple(corners[1].tolist()), _LINE, 1, cv2.LINE_AA)
    if record.keypoints is not None:
        _draw_points(shown, (np.array(record.keypoints)[:, :2] - origin) * factor)
    if crop.mask is None:
        return Tile((shown,))
    return Tile((shown, _resized(np.where(crop.mask[..., None], crop.image, 255).astype(np.uint8), factor)))


def sample_tile(sample: Sample) -> Tile:
    """A training sample: its picture with keypoints, the same with the hole, and the surface if it has one."""
    picture = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
    factor = _factor(picture)
    whole = _resized(picture, factor)
    if sample.keypoints is not None:
        points = sample.keypoints.numpy()
        height, width = whole.shape[:2]
        _draw_points(whole, (points[:, :2] * [width, height])[points[:, 2] > 0])
    hole = np.where(sample.mask[0].numpy()[..., None], picture, _HOLE).astype(np.uint8)
    images = [whole, _resized(hole, factor)]
    if sample.vertices is not None:
        images.append(_resized(_surface(sample.vertices.numpy()), factor))
    return Tile(tuple(images))


def write_sheet(path: Path, tiles: Sequence[Tile], columns: int, *, overwrite: bool = True) -> None:
    """Write tiles row by row as a PNG.

    Raises:
        OutputError: it cannot be written.
    """
    rows = [_row(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    width = max(row.shape[1] for row in rows)
    padded = [_onto(row, row.shape[0], width) for row in rows]
    sheet = cv2.cvtColor(np.concatenate(padded), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".png", sheet)
    if not done:
        raise OutputError(f"{path}: a sheet of {sheet.shape[1]}×{sheet.shape[0]} pixels cannot be written.")
    with atomic_path(path, overwrite=overwrite) as part:
        part.write_bytes(data.tobytes())


def _row(tiles: Sequence[Tile]) -> Image:
    images = [image for tile in tiles for image in tile.images]
    height = max(image.shape[0] for image in images)
    return np.concatenate([_onto(image, height + _GAP, image.shape[1] + _GAP) for image in images], axis=1)


def _onto(image: Image, height: int, width: int) -> Image:
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    sheet[: image.shape[0], : image.shape[1]] = image
    return sheet


def _factor(image: Image) -> float:
    return _SIDE / float(max(image.shape[:2]))


def _resized(image: Image, factor: float) -> Image:
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    resized: Image = cv2.resize(image, (width, height), interpolation=way)
    return resized


def _draw_points(image: Image, points: NDArray[np.floating]) -> None:
    for x, y in points:
        cv2.circle(image, (round(float(x)), round(float(y))), 2, _POINT, -1, cv2.LINE_AA)


def _surface(vertices: NDArray[np.int64]) -> Image:
    """A colour a vertex, grey off the body."""
    hue = (vertices * _GOLDEN % 1 * 180).astype(np.uint8)
    colours = cv2.cvtColor(np.dstack([hue, np.full_like(hue, 200), np.full_like(hue, 230)]), cv2.COLOR_HSV2RGB)
    return np.where((vertices >= 0)[..., None], colours, _HOLE).astype(np.uint8)
