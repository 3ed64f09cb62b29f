"""Reads the sets that `dp2 dataset build` makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.crop_record import CropRecord, parse_record
from dp2.data.pictures import decode_mask, decode_rgb, read_bytes
from dp2.data.tar_shards import TarShards, find_shards
from dp2.errors import DatasetError
from dp2.types import FACE, PERSON

TRAIN, VALIDATION = "train", "val"
RECORD, PICTURE, MASK = "json", "webp", "mask.png"


@dataclass(frozen=True, slots=True, eq=False)
class StoredCrop:
    """A crop as it lies in the set.

    Attributes:
        record: what is known of it.
        image: (H, W, 3) uint8 RGB: what of the crop lies inside the photo.
        mask: (H, W) bool, True on the body; None for faces.
    """

    record: CropRecord
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None


class CropShards:
    """The crops of one split, by number.

    Args:
        folder: what `dp2 dataset build -o` wrote.
        split: "train" or "val".

    Raises:
        DatasetError: there is no such set, or a shard is damaged.
    """

    def __init__(self, folder: str | Path, split: str = TRAIN) -> None:
        root = Path(folder)
        self._masked = _kind(root / "dataset.json") == PERSON
        paths = find_shards(root / split)
        self._shards = TarShards(paths, (PICTURE, RECORD, MASK) if self._masked else (PICTURE, RECORD))

    def __len__(self) -> int:
        return len(self._shards)

    def record(self, index: int) -> CropRecord:
        """What is known of a crop, without decoding its picture."""
        return parse_record(self._shards.read(index, RECORD), self._shards.where(index))

    def crop(self, index: int) -> StoredCrop:
        """A crop.

        Raises:
            DatasetError: it is damaged.
        """
        where = self._shards.where(index)
        record = self.record(index)
        size = (record.height, record.width)
        image = decode_rgb(self._shards.read(index, PICTURE), where, size)
        mask = decode_mask(self._shards.read(index, MASK), where, size) if self._masked else None
        return StoredCrop(record, image, mask)


def _kind(path: Path) -> str:
    """What a set holds."""
    if not path.is_file():
        raise DatasetError(f"{path.parent}: is not a set made by `dp2 dataset build`: it holds no {path.name}.")
    try:
        values = json.loads(read_bytes(path))
        kind = values["kind"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path}: is damaged ({error}); build the set again.") from error
    if kind not in (FACE, PERSON):
        raise DatasetError(f"{path}: is of a kind that this dp2 does not know: {kind!r:.40}.")
    return str(kind)


def whole_window(crop: StoredCrop) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The crop as it was meant, with what lies outside the photo filled by reflection.

    Returns:
        (h, w, 3) uint8 of the size of the record's window, and (h, w) bool: True where the photo is.
    """
    record = crop.record
    x0, y0, x1, y1 = (round(side) for side in record.window)
    around = (max(0, -y0), max(0, y1 - record.height), max(0, -x0), max(0, x1 - record.width))
    image = cv2.copyMakeBorder(crop.image, *around, cv2.BORDER_REFLECT)
    inside = cv2.copyMakeBorder(np.ones(crop.image.shape[:2], np.uint8), *around, cv2.BORDER_CONSTANT, value=0)
    shift_x, shift_y = max(0, -x0) + x0, max(0, -y0) + y0
    rows, columns = slice(shift_y, shift_y + y1 - y0), slice(shift_x, shift_x + x1 - x0)
    return image[rows, columns], inside[rows, columns].astype(bool)
