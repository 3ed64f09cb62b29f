"""Weights that are shipped inside dp2."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dp2.errors import MissingWeights, UnsafeCheckpoint
from dp2.weights.limits import check_file
from dp2.weights.onnx_files import LARGEST_FILE
from dp2.weights.registry import packaged


def shipped_file(name: str) -> Path:
    """A file in dp2/weights/files/.

    Raises:
        MissingWeights: this installation of dp2 lacks it.
    """
    path = packaged("dp2", f"weights/files/{name}")
    if path is None:
        raise MissingWeights(f"{name}: this installation of dp2 lacks it: pip install --force-reinstall dp2")
    return path


def read_weights(path: Path) -> bytes:
    """The bytes of a weights file.

    Raises:
        MissingWeights: it cannot be read.
        UnsafeCheckpoint: it is larger than any network here.
        UnreadableCheckpoint: it is empty.
    """
    if check_file(path) > LARGEST_FILE:
        raise UnsafeCheckpoint(f"{path}: is larger than any network here.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingWeights(f"{path}: the weights cannot be read ({error.strerror})") from error


def checksum(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
