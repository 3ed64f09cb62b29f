"""Sealed JSON files: only who holds the key can write them, and only under the name that they were sealed for.

Folders of results are handed on and shared, so what lies in them is not trusted: whoever empties a list of detections
would have originals written. The key lies outside of them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from dp2.errors import OutputError, UsageError
from dp2.sink.atomic import atomic_path, output_error

KEY_VARIABLE = "DP2_FRAMES_KEY"
_KEY_FILE = "frames.key"
_SHORTEST = 16  # characters of a key that is given
_LARGEST = 4 << 30  # bytes; body surfaces of a chunk take some hundred MB
_CHUNK = 1 << 20
_SEAL = re.compile(rb"[0-9a-f]{64}\n")

T = TypeVar("T")


class BrokenSeal(Exception):
    """A file is missing, or is not as the holder of the key wrote it."""


class Remembered(Generic[T]):
    """What was worked out from files, for as long as these stay as they are."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], T]] = {}

    def of(self, path: Path, work_out: Callable[[Path], T]) -> T:
        """The answer for a file, worked out anew when the file has changed. Errors are not remembered."""
        state = path.lstat()
        signature = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        known = self._known.get(path)
        if known is None or known[0] != signature:
            known = self._known[path] = signature, work_out(path)
        return known[1]


@dataclass(frozen=True)
class Seals:
    """Seals JSON files with HMAC-SHA256.

    Attributes:
        key: the secret.
    """

    key: bytes = field(repr=False)

    def bound_to(self, context: str) -> Seals:
        """Seals that hold only where the context is the same, e.g. with the same settings."""
        return Seals(hmac.digest(self.key, context.encode(), "sha256"))

    def write(self, path: Path, name: str, record: Any, *, overwrite: bool = True) -> None:
        """Write a file.

        Args:
            path: its folder is made if it is missing.
            name: what the file is; under another name it does not count.
            record: JSON-able.

        Raises:
            OutputError: it cannot be written, or exists and may not be overwritten.
        """
        body = json.dumps(record).encode()
        seal = self._start(name)
        seal.update(body)
        with atomic_path(path, overwrite=overwrite) as part:
            part.write_bytes(seal.hexdigest().encode() + b"\n" + body)

    def read(self, path: Path, name: str) -> Any:
        """The record of a file.

        Raises:
            BrokenSeal: it is missing, unreadable, or not as it was written under this name.
        """
        return self._opened(path, name, lambda file: json.loads(file.read()))

    def holds(self, path: Path, name: str) -> bool:
        """Whether a file is there as it was written under this name."""
        try:
            self._opened(path, name, lambda _: None)
        except BrokenSeal:
            return False
        return True

    def _start(self, name: str) -> hmac.HMAC:
        return hmac.new(self.key, name.encode() + b"\0", "sha256")

    def _opened(self, path: Path, name: str, use: Callable[[IO[bytes]], T]) -> T:
        try:
            with open_regular(path, _LARGEST) as file:
                written = file.read(65)
                if not _SEAL.fullmatch(written):
                    raise BrokenSeal(f"{path}: carries no seal.")
                seal = self._start(name)
                while piece := file.read(_CHUNK):
                    seal.update(piece)
                if not hmac.compare_digest(seal.hexdigest().encode(), written[:-1]):
                    raise BrokenSeal(f"{path}: its seal is broken.")
                file.seek(len(written))
                return use(file)
        except (OSError, ValueError, RecursionError) as error:
            raise BrokenSeal(f"{path}: cannot be read.") from error


def open_regular(path: Path, limit: int) -> IO[bytes]:
    """Open a file for reading that is neither a link nor a pipe, and not larger than `limit` bytes.

    Raises:
        OSError: it is, or cannot be opened.
    """
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode) or state.st_size > limit:
        raise OSError(f"{path}: is not a regular file of a sensible size")
    return path.open("rb")


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def own_seals() -> Seals:
    """Those of `DP2_FRAMES_KEY`; without it of a key in the user's own folder, made when it is first needed.

    Raises:
        UsageError: the given key is too short, or the user's own is damaged.
        OutputError: the user's own key cannot be written.
    """
    given = os.environ.get(KEY_VARIABLE, "")
    if given:
        if len(given) < _SHORTEST:
            raise UsageError(f"{KEY_VARIABLE} must have at least {_SHORTEST} characters.")
        return Seals(hashlib.sha256(given.encode()).digest())
    path = _key_path()
    if not path.exists():
        _make_key(path)
    try:
        return Seals(bytes.fromhex(path.read_text(encoding="ascii")[:64].ljust(64, "-")))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: the key that protects folders of frames cannot be read; delete it. Folders begun with it must "
            "then be begun again."
        ) from error


def _key_path() -> Path:
    home = os.environ.get("DP2_HOME")
    if home:
        return Path(home).expanduser() / _KEY_FILE
    import platformdirs

    return Path(platformdirs.user_data_dir("dp2")) / _KEY_FILE


def _make_key(path: Path) -> None:
    """Of several processes that begin at once, one makes the key for all."""
    try:
        with atomic_path(path, overwrite=False) as part:
            part.chmod(0o600)
            part.write_text(secrets.token_hex(32), encoding="ascii")
    except OutputError as error:
        if not path.exists():
            raise OutputError(
                f"{path}: the key that protects folders of frames cannot be written; set DP2_HOME to a folder that "
                f"can, or {KEY_VARIABLE} to a secret text."
            ) from error
    except OSError as error:
        raise output_error(error, path) from error
