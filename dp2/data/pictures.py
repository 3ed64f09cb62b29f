"""Pictures, masks and arrays out of a dataset's bytes, which may be damaged or hostile."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dp2.errors import DatasetError, WeightsError
from dp2.weights.formats.torch_files import read_torch

MAX_SIDE = 1 << 14
_MAX_PIXELS = 1 << 26
_MAX_BYTES = 64 << 20


def decode_rgb(data: bytes, where: str, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A PNG, JPEG or WebP as (H, W, 3) uint8 RGB.

    Args:
        data: the file's bytes.
        where: the file, for errors.
        size: (H, W) that it must have; None = any.

    Raises:
        DatasetError: it is no such picture, damaged, or of another size.
    """
    _check_header(data, where, size)
    image = _decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION, where)
    return _of_size(image, where, size)


def decode_mask(data: bytes, where: str, size: tuple[int, int] | None = None) -> NDArray[np.bool_]:
    """A PNG as (H, W) bool: whatever is not 0. Errors and arguments as `decode_rgb`."""
    _check_header(data, where, size)
    grey = _decode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION, where)
    mask: NDArray[np.bool_] = _of_size(grey, where, size) > 0
    return mask


def decode_array(data: bytes, where: str) -> NDArray[np.generic]:
    """An .npy file of numbers.

    Raises:
        DatasetError: it is damaged, or holds Python objects; nothing of it was executed.
    """
    try:
        array: NDArray[np.generic] = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{where}: is no .npy file of numbers ({_line(error)}).") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise DatasetError(f"{where}: is no .npy file of numbers.")
    return array


def read_bytes(path: Path, limit: int = _MAX_BYTES) -> bytes:
    """A file of at most `limit` bytes.

    Raises:
        DatasetError: it is missing, cannot be read, or is larger.
    """
    try:
        if not path.is_file():
            raise DatasetError(f"{path}: there is no such file; check the path and BASE_DATASET_DIR.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if len(data) > limit:
        raise DatasetError(f"{path}: has more than {limit >> 20} MiB; it is not a sample.")
    return data


def mapped_array(path: Path, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """An .npy file of numbers, read as it is used. -1 in `shape` stands for any length.

    Raises:
        DatasetError: it is missing, damaged, holds objects, or its size does not fit the shape.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file; check the path and BASE_DATASET_DIR.")
    try:
        array: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path}: is no .npy file of numbers ({_line(error)}).") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise DatasetError(f"{path}: is no .npy file of numbers.")
    known = math.prod(side for side in shape if side >= 0)
    if array.size % known or (-1 not in shape and array.size != known):
        raise DatasetError(f"{path}: has the shape {array.shape}, which is not {shape}.")
    return array.reshape(shape)


def torch_table(path: Path, what: str) -> torch.Tensor:
    """The one tensor of a file that `torch.save` wrote.

    Args:
        what: it is meant to be, for errors.

    Raises:
        DatasetError: it is missing, damaged, or holds something else; nothing of it was executed.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file; check the path and BASE_DATASET_DIR.")
    try:
        content = read_torch(path)
    except WeightsError as error:
        raise DatasetError(str(error)) from error
    if not isinstance(content, torch.Tensor):
        raise DatasetError(f"{path}: holds {type(content).__name__}, no {what}.")
    return content


def _check_header(data: bytes, where: str, size: tuple[int, int] | None) -> None:
    """Refuse a picture that claims a huge or another size before it is decoded: 20 bytes may claim gigabytes."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
            width, height = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{where}: is no PNG, JPEG or WebP picture, or is damaged.") from error
    if size is not None and (height, width) != size:
        raise DatasetError(f"{where}: is {width}×{height}; {size[1]}×{size[0]} is expected.")
    if max(width, height) > MAX_SIDE or width * height > _MAX_PIXELS:
        raise DatasetError(f"{where}: claims {width}×{height} pixels, too many for a training sample.")


def _decode(data: bytes, flags: int, where: str) -> NDArray[np.uint8]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DatasetError(f"{where}: cannot be decoded ({_line(error)}).") from error
    if image is None:
        raise DatasetError(f"{where}: cannot be decoded; the file is damaged.")
    decoded: NDArray[np.uint8] = image
    return decoded


def _of_size(image: NDArray[np.uint8], where: str, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    if size is not None and image.shape[:2] != size:
        raise DatasetError(f"{where}: decodes to another size than it claims.")
    return image


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
