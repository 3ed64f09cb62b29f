"""Unfinished files: their temporary names, the lock that tells whether somebody still writes, and tidying up.

Whoever writes a file under a temporary name holds a lock on it. The operating system drops the lock when the process
ends, however it ends. So a file of such a name that nobody holds was left by a process that was killed.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PART = re.compile(r"\..*\.[0-9a-f]{12}\.part(\.[^.]*)?", re.DOTALL)
_STEM, _SUFFIX = 40, 20  # bytes; with the random part a temporary name stays far below what file systems allow
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def create_part(target: Path) -> tuple[Path, int]:
    """Make an empty file with a temporary name in the folder of `target`, and lock it.

    Returns:
        its path, and a descriptor that holds the lock until it is closed.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        part = target.with_name(_part_name(target))
        # Not tempfile: its files are private to the user, ours get the mode that the umask gives any new file.
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            _lock(descriptor, wait=True)
            if os.fstat(descriptor).st_nlink:  # else somebody tidied up before it was locked
                return part, descriptor
        except BaseException:
            os.close(descriptor)
            with suppress(OSError):
                part.unlink()
            raise
        os.close(descriptor)


def sweep_parts(folder: Path) -> None:
    """Remove unfinished files that killed processes left in a folder. Those being written stay; so does all else."""
    for part in parts_in(folder):
        remove_part(part)


def parts_in(folder: Path) -> Iterator[Path]:
    """The unfinished files in a folder, abandoned or not; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _PART.fullmatch(entry.name)]
    except OSError:
        return
    yield from (folder / name for name in names)


def remove_part(part: Path) -> bool:
    """Remove an unfinished file unless somebody writes to it.

    Returns:
        whether it is gone.
    """
    if sys.platform == "win32":
        with suppress(PermissionError):  # of what is open
            part.unlink(missing_ok=True)
        return not part.exists()
    with _held(part) as held:
        if held:
            with suppress(OSError):
                part.unlink()
    return not os.path.lexists(part)


def is_abandoned(part: Path) -> bool:
    """Whether nobody writes to an unfinished file any more; False where that cannot be known."""
    if sys.platform == "win32":
        try:
            part.rename(part)  # refused for what is open
        except OSError:
            return False
        return True
    with _held(part) as held:
        return held


@contextmanager
def _held(part: Path) -> Iterator[bool]:
    """Hold an abandoned file; yields whether that could be done."""
    try:
        if not stat.S_ISREG(part.lstat().st_mode):
            yield False
            return
        descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor, wait=False)
    finally:
        os.close(descriptor)


def cut_name(text: str, limit: int) -> str:
    """The longest beginning of a name that takes at most `limit` bytes on disk and ends with a whole character."""
    data = os.fsencode(text)
    if len(data) <= limit:
        return text
    while limit > 0 and data[limit] & 0xC0 == 0x80:  # inside a UTF-8 sequence
        limit -= 1
    return os.fsdecode(data[:limit])


def _part_name(target: Path) -> str:
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _SUFFIX else ""
    return f".{cut_name(target.stem, _STEM)}.{secrets.token_hex(6)}.part{suffix}"


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Whether the file is locked now. Where a file system has no locks, files are written without and never swept."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS or not wait:
            return False
        raise
    return True
