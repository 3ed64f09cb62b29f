"""Weights that arrive inside other Python packages."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from dp2.errors import MissingWeights


def packaged_file(package: str, name: str, remedy: str) -> Path:
    """A file inside an installed package, found without importing the package.

    Args:
        package: top-level name of the package.
        name: path of the file below the package's folder.
        remedy: the command that installs it, for the error.

    Raises:
        MissingWeights: the package is not installed or does not hold the file.
    """
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder, name)
        if path.is_file():
            return path
    raise MissingWeights(f"{package}/{name} is not installed: {remedy}")


def read_weights(path: Path) -> bytes:
    """The bytes of a weights file.

    Raises:
        MissingWeights: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingWeights(f"{path}: the weights cannot be read ({error.strerror})") from error


def checksum(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
