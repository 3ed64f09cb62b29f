"""Turns a path into a file that becomes visible only when it is whole."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dp2.errors import OutputError
from dp2.sink.parts import create_part

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL}


@contextmanager
def atomic_path(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty temporary file to write to; it takes the name `path` when the block ends well.

    The temporary file lies in the same folder (which is made if it is missing) and has the same suffix. It is removed
    when the block raises anything, KeyboardInterrupt included; after a kill, by `dp2.sink.parts.sweep_parts`.

    Raises:
        OutputError: the folder cannot be written to, the disk is full, or `path` exists and may not be overwritten.
    """
    pending = PendingFile(path, overwrite=overwrite)
    try:
        yield pending.temporary
        pending.commit()
    except OSError as error:
        pending.discard()
        if concerns_output(error, pending.temporary):
            raise output_error(error, path) from error
        raise
    except BaseException:
        pending.discard()
        raise


class PendingFile:
    """The same for writers that live longer than a `with` block: `commit` or `discard`, whichever comes first.

    Attributes:
        path: the name that the file gets.
        temporary: where to write. Close it before `commit`.

    Raises:
        OutputError: as in `atomic_path`, from the constructor and from `commit`.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self._overwrite = overwrite
        check_free(path, overwrite=overwrite)
        self._lock: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.temporary, self._lock = create_part(path)
        except OSError as error:
            raise output_error(error, path) from error

    def commit(self) -> None:
        """Flush to the disk and give the file its name. On failure nothing is left."""
        try:
            with self.temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if sys.platform == "win32":
                self._unlock()  # it does not rename what is open
            self._rename()
            self._unlock()
        except OSError as error:
            self.discard()
            raise output_error(error, self.path) from error
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove what was written. Harmless after `commit` or a second time."""
        if sys.platform == "win32":
            self._unlock()
        with suppress(OSError):
            self.temporary.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _rename(self) -> None:
        if self._overwrite:
            os.replace(self.temporary, self.path)
            return
        try:
            os.link(self.temporary, self.path)  # unlike rename, refuses a name that was taken in the meantime
        except OSError as error:
            if error.errno == errno.EEXIST:
                check_free(self.path, overwrite=self._overwrite)
            if error.errno not in _NO_LINKS:
                raise
            check_free(self.path, overwrite=self._overwrite)
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink()


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` where `atomic_path` would refuse a path; for commands that work long before they write."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file. Nothing was written.")
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{path}: exists already; use --overwrite to replace it. Nothing was written.")


def concerns_output(error: OSError, temporary: Path) -> bool:
    """Whether an error raised while working on `temporary` is about that file rather than about some input."""
    return error.errno in _FULL or str(error.filename) == str(temporary)


def output_error(error: OSError, path: Path) -> OutputError:
    """One clear line for an error of the operating system on the output `path`."""
    if error.errno in _FULL:
        return OutputError(f"{path}: the disk is full; free some space and run again. Nothing was written.")
    if error.errno in _DENIED:
        return OutputError(f"{path}: the folder {path.parent} cannot be written to; choose another --output-path.")
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return OutputError(f"{path}: a part of {path.parent} is a file, not a folder; choose another --output-path.")
    if error.errno == errno.ENAMETOOLONG:
        return OutputError(f"{path}: the name is too long for this disk; choose a shorter one with --output-path.")
    reason = error.strerror or type(error).__name__
    return OutputError(f"{path}: cannot be written ({reason}). Nothing was written.")
