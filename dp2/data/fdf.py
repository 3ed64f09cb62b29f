"""Flickr Diverse Faces (Hukkelås et al. 2019, 2022): FDF128 and FDF256, folders of faces with the box to remove."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dp2.data.batch import Sample
from dp2.data.pictures import decode_rgb, mapped_array, read_bytes, torch_table
from dp2.data.transforms import FDF_MIRROR, mirrored, resized
from dp2.errors import DatasetError

_KEYPOINTS = 7  # nose, eyes, ears, shoulders
_IN_PIXELS = 1.5  # a median of places above this is none of fractions


@dataclass(frozen=True, slots=True)
class _Given:
    """How samples are given; see `Fdf128`."""

    keypoints: bool
    mirror: float
    resolution: tuple[int, int] | None


class _Faces:
    """Numbered pictures with a row of boxes and landmarks each; a `dp2.data.batch.Dataset`."""

    def __init__(
        self, folder: Path, size: int, boxes: NDArray[np.generic], landmarks: NDArray[np.generic], given: _Given
    ) -> None:
        self._paths = _numbered(folder)
        self._size = size
        self._boxes = boxes
        self._landmarks = landmarks
        self._given = given
        height, width = given.resolution or (size, size)
        self.resolution = (height, width)
        # Published as fractions of the picture; a set of one's own may have pixels.
        self._unit = (
            size if len(landmarks) and float(np.median(landmarks[:1024].astype(np.float64))) > _IN_PIXELS else 1
        )
        for name, rows in (("boxes", len(boxes)), ("landmarks", len(landmarks))):
            if rows != len(self._paths):
                raise DatasetError(
                    f"{folder}: {len(self._paths)} pictures do not fit {rows} {name}; a file is missing."
                )

    def __len__(self) -> int:
        return len(self._paths)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """See `dp2.data.batch.Dataset`."""
        sample = self._stored(index)
        turned = mirrored(sample, FDF_MIRROR) if rng.random() < self._given.mirror else sample
        return resized(turned, self.resolution)

    def _stored(self, index: int) -> Sample:
        path = self._paths[index]
        size = self._size
        image = decode_rgb(read_bytes(path), str(path), (size, size))
        points = None
        if self._given.keypoints:
            fractions = np.asarray(self._landmarks[index], np.float32) / self._unit
            if not np.isfinite(fractions).all():
                raise DatasetError(f"{path}: its landmarks are not finite.")
            shown = ((fractions >= 0) & (fractions <= 1)).all(1, keepdims=True)
            points = torch.from_numpy(np.concatenate([fractions, shown], 1).astype(np.float32))
        return Sample(torch.from_numpy(image.transpose(2, 0, 1).copy()), self._mask(index, path), points)

    def _mask(self, index: int, path: Path) -> torch.Tensor:
        box = np.asarray(self._boxes[index], np.float64)
        if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
            raise DatasetError(f"{path}: its box {box.tolist()} is none.")
        x0, y0, x1, y1 = box.clip(0, self._size).astype(int).tolist()
        mask = torch.ones((1, self._size, self._size), dtype=torch.bool)
        mask[:, y0:y1, x0:x1] = False
        return mask


class Fdf128(_Faces):
    """FDF128: `images/128/*.png`, `landmarks.npy`, `bounding_box/128.torch`.

    Args:
        folder: that of a split, e.g. `data/fdf/train`.
        keypoints: give the 7 keypoints along.
        mirror: how often a sample is mirrored, 0 to 1.
        size: of the pictures on disk: 128, or one of the smaller sizes that FDF128 comes in.
        resolution: (height, width) to resize to; None = as stored.

    Raises:
        DatasetError: files are missing, damaged, or do not belong together.
    """

    def __init__(
        self,
        folder: str,
        *,
        keypoints: bool = True,
        mirror: float = 0.0,
        size: int = 128,
        resolution: tuple[int, int] | None = None,
    ) -> None:
        root = Path(folder)
        boxes = _torch_boxes(root / "bounding_box" / f"{size}.torch")
        points = mapped_array(root / "landmarks.npy", (-1, _KEYPOINTS, 2))
        given = _Given(keypoints, mirror, resolution)
        super().__init__(root / "images" / str(size), size, boxes, points, given)


class Fdf256(_Faces):
    """FDF256: `images/*.png`, `landmarks.npy`, `bounding_box.npy`.

    Args:
        folder: that of a split, e.g. `data/fdf256/train`.
        keypoints: give the 7 keypoints along.
        mirror: how often a sample is mirrored, 0 to 1.
        resolution: (height, width) to resize to; None = 256×256 as stored.

    Raises:
        DatasetError: files are missing, damaged, or do not belong together.
    """

    def __init__(
        self,
        folder: str,
        *,
        keypoints: bool = False,
        mirror: float = 0.0,
        resolution: tuple[int, int] | None = None,
    ) -> None:
        root = Path(folder)
        boxes = mapped_array(root / "bounding_box.npy", (-1, 4))
        points = mapped_array(root / "landmarks.npy", (-1, _KEYPOINTS, 2))
        super().__init__(root / "images", 256, boxes, points, _Given(keypoints, mirror, resolution))


def _numbered(folder: Path) -> list[Path]:
    """The folder's PNG files in the order of their numbers."""
    found = list(folder.glob("*.png")) if folder.is_dir() else []
    if not found:
        raise DatasetError(f"{folder}: holds no .png pictures; check the path and BASE_DATASET_DIR.")
    strange = next((path for path in found if not path.stem.isdecimal()), None)
    if strange is not None:
        raise DatasetError(f"{strange}: its name is no number; pictures are matched to boxes by their numbers.")
    return sorted(found, key=lambda path: int(path.stem))


def _torch_boxes(path: Path) -> NDArray[np.generic]:
    what = "table of boxes, x0 y0 x1 y1"
    content = torch_table(path, what)
    if content.ndim != 2 or content.shape[1] != 4:
        raise DatasetError(f"{path}: is no {what}.")
    boxes: NDArray[np.generic] = content.numpy()
    return boxes
