"""Checksums: those that are published, and those that a user pinned because none is."""

from __future__ import annotations

import enum
import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dp2.errors import ChecksumMismatch, WeightsError
from dp2.weights.registry import Entry


class Trust(enum.Enum):
    """How sure it is that a file is the published one."""

    PUBLISHED = "checksum as published"
    PREFIX = "checksum begins as published; the rest is not published"
    PINNED = "checksum as pinned on this machine"
    UNPINNED = "no checksum is published; pin it once you have verified it: dp2 weights verify NAME --pin"


@dataclass(frozen=True)
class Verified:
    """A file whose bytes agree with all that is known.

    Attributes:
        path: the file.
        sha256: hexadecimal.
        trust: what it was compared with.
    """

    path: Path
    sha256: str
    trust: Trust


class Pins:
    """First-seen checksums, kept in `pins.json` of the weight cache: file name → sha256."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pins.json"

    def get(self, file: str) -> str | None:
        """The pinned sha256 of a file name.

        Raises:
            WeightsError: `pins.json` cannot be read, so nothing can be trusted.
        """
        return self._read().get(file)

    def set(self, file: str, sha256: str) -> None:
        """Pin a file name, for good.

        Raises:
            WeightsError: `pins.json` cannot be read or written.
        """
        from filelock import FileLock

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"):
                pins = self._read() | {file: sha256}
                temporary = self.path.with_name(f"{self.path.name}.part")
                temporary.write_text(json.dumps(pins, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                os.replace(temporary, self.path)
        except OSError as error:
            raise WeightsError(f"{self.path}: cannot be written ({error.strerror}); set DP2_HOME elsewhere.") from error

    def _read(self) -> dict[str, str]:
        try:
            pins = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise WeightsError(f"{self.path}: cannot be read; mend it, or remove it to pin anew.") from error
        if not isinstance(pins, dict) or not all(isinstance(value, str) for value in pins.values()):
            raise WeightsError(f"{self.path}: is not a table of checksums; remove it to pin anew.")
        return pins


def verify(entry: Entry, path: Path, pins: Pins, *, name: str | None = None) -> Verified:
    """Compare a file with the registry and with the pins.

    Args:
        entry: what it should be.
        path: the file.
        pins: of this machine.
        name: what the file will be called, where `path` has a temporary name.

    Raises:
        ChecksumMismatch: one of them disagrees.
        WeightsError: the file or the pins cannot be read.
    """
    name = name or path.name
    sha256 = digest(path, "sha256")
    pinned = pins.get(name)
    if pinned is not None and pinned != sha256:
        raise ChecksumMismatch(_mismatch(entry, path, "sha256", pinned, sha256, "pinned on this machine"))
    published = {} if is_copy(entry, name) else entry.checksums
    for algorithm, expected in published.items():
        found = sha256 if algorithm == "sha256" else digest(path, algorithm)
        if not found.startswith(expected):
            if pinned is not None:  # what the user trusts may be another file
                return Verified(path, sha256, Trust.PINNED)
            raise ChecksumMismatch(_mismatch(entry, path, algorithm, expected, found, "published"))
    if published and entry.fully_checked:
        return Verified(path, sha256, Trust.PUBLISHED)
    if pinned is not None:
        return Verified(path, sha256, Trust.PINNED)
    return Verified(path, sha256, Trust.PREFIX if published else Trust.UNPINNED)


def check_named(entry: Entry, path: Path, pins: Pins) -> None:
    """Make sure that a file that was found under a checkpoint's name is that checkpoint.

    It must have the pinned checksum, else the published one where there is one. A converted copy has bytes of its own,
    so that it must be pinned, which `dp2 weights import` does.

    Raises:
        ChecksumMismatch: it is another file; the message says how to use it all the same.
        WeightsError: the file or the pins cannot be read.
    """
    pinned = pins.get(path.name)
    expected = {"sha256": pinned} if pinned is not None else entry.checksums
    if pinned is None and is_copy(entry, path.name):
        raise ChecksumMismatch(
            f"{path}: is a converted copy of {entry.name} that nobody vouches for. {_by_path(path)} or pin it once you "
            f"trust it: dp2 weights verify {entry.name} --pin"
        )
    for algorithm, digits in expected.items():
        found = _known_digest(path, algorithm)
        if not found.startswith(digits):
            source = "published" if pinned is None else "pinned on this machine"
            raise ChecksumMismatch(f"{_mismatch(entry, path, algorithm, digits, found, source)}. {_by_path(path)}.")


def is_copy(entry: Entry, name: str) -> bool:
    """Whether a file of this name is what `dp2 weights import` makes of an entry's file."""
    return name.endswith(".safetensors") and name != entry.file


def _known_digest(path: Path, algorithm: str) -> str:
    """As `digest`; a file that has not changed is read once a process."""
    try:
        state = path.stat()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).") from error
    return _digest_once(path, algorithm, state.st_size, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=256)
def _digest_once(path: Path, algorithm: str, *_state: int) -> str:
    return digest(path, algorithm)


def digest(path: Path, algorithm: str) -> str:
    """Checksum of a file in hexadecimal.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).") from error


def _mismatch(entry: Entry, path: Path, algorithm: str, expected: str, found: str, source: str) -> str:
    return (
        f"{path}: is not {entry.name}: its {algorithm} is {found}, {source} is {expected}. "
        f"Remove it and run: dp2 weights fetch {entry.name}"
    )


def _by_path(path: Path) -> str:
    return f"To use this very file all the same, name it by its path, weights={path}"
