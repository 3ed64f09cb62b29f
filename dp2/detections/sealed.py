"""Cached detections that know whether they are as they were written: a file that is damaged or cut is not used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dp2.detections.stored import SCHEMA, StoredDetections
from dp2.errors import DetectionFileError

_CHUNK = 1 << 20


def seal(path: Path) -> None:
    """Append a last line with the SHA-256 of all lines before it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with path.open("ab") as file:
        file.write(_seal_line(digest))


def open_sealed(path: Path) -> StoredDetections | None:
    """The detections of a sealed file; None if there is none, it cannot be read, or it is not as it was sealed."""
    try:
        return StoredDetections(path) if _is_whole(path) else None
    except (OSError, DetectionFileError):
        return None


def _is_whole(path: Path) -> bool:
    length = len(_seal_line("0" * 64))
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = path.stat().st_size - length
        if left <= 0:
            return False
        while left > 0 and (piece := file.read(min(left, _CHUNK))):
            digest.update(piece)
            left -= len(piece)
        return file.read() == _seal_line(digest.hexdigest())


def _seal_line(digest: str) -> bytes:
    return (json.dumps({"schema": SCHEMA, "sha256": digest}) + "\n").encode()
