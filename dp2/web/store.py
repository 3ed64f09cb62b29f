"""Who holds what: sessions with their uploads, in a folder that only this user can look into."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import time
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dp2.errors import UsageError
from dp2.web.limits import Limits

_LONGEST_NAME = 100


class NotFound(UsageError):
    """There is no such upload or job, or it is another session's: which of the two is not said."""


class TooMuch(UsageError):
    """The session, or the server, holds as much as it may."""


@dataclass
class Media:
    """An uploaded file that was looked at.

    Attributes:
        id: unguessable.
        name: as the user called it, made harmless; only shown, never a path.
        folder: its own.
        size: in bytes.
        facts: what `dp2.web.workers.tasks.inspect` said.
    """

    id: str
    name: str
    folder: Path
    size: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        """The file. Without a suffix, so that only its content says what it is."""
        return self.folder / "source"

    @property
    def preview(self) -> Path:
        """A JPEG of it, or of its first frame."""
        return self.folder / "preview.jpg"


@dataclass
class Session:
    """What one browser holds.

    Attributes:
        folder: of its files.
        media: by id.
        used: when it last asked for something, by the monotonic clock.
        coming, uploading: files and bytes that are on their way.
    """

    folder: Path
    media: dict[str, Media] = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)
    coming: int = 0
    uploading: int = 0

    def find(self, identity: str) -> Media:
        """An upload of this session.

        Raises:
            NotFound: it holds none of that id.
        """
        try:
            return self.media[identity]
        except KeyError:
            raise NotFound("there is no such upload; it may have been deleted.") from None


class Store:
    """All sessions.

    Args:
        limits: how much they may hold.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[str, Session] = {}
        self._root, self._lock = _private_folder()

    def session(self, token: str) -> Session:
        """The session of a token; made when it is first needed.

        Raises:
            TooMuch: the server holds as many as it may.
        """
        key = hashlib.sha256(token.encode()).hexdigest()
        session = self._sessions.get(key)
        if session is None:
            if len(self._sessions) >= self._limits.sessions:
                raise TooMuch("the server is busy with others; try again later.")
            session = self._sessions[key] = Session(self._root / key[:32])
            session.folder.mkdir(mode=0o700)
        session.used = time.monotonic()
        return session

    def known(self, token: str) -> Session | None:
        """The session of a token, if it holds anything yet."""
        session = self._sessions.get(hashlib.sha256(token.encode()).hexdigest())
        if session is not None:
            session.used = time.monotonic()
        return session

    def new_media(self, session: Session, name: str) -> Media:
        """A place for an upload. It is found by its id only after `add`.

        Raises:
            TooMuch: the session holds as many files as it may.
        """
        if len(session.media) + session.coming >= self._limits.session_media:
            raise TooMuch(f"at most {self._limits.session_media} files at a time; delete some.")
        identity = secrets.token_urlsafe(16)
        media = Media(identity, harmless_name(name), session.folder / identity)
        media.folder.mkdir(mode=0o700)
        return media

    def delete_media(self, session: Session, media: Media) -> None:
        """Delete an upload with everything that was made of it."""
        session.media.pop(media.id, None)
        shutil.rmtree(media.folder, ignore_errors=True)

    def room(self, session: Session) -> int:
        """Bytes that a session may still fill; what is not there any more counts for nothing."""
        held = 0
        for folder, _, names in os.walk(session.folder):
            for name in names:
                with contextlib.suppress(OSError):
                    held += os.lstat(os.path.join(folder, name)).st_size
        return self._limits.session_bytes - held - session.uploading

    def idle(self) -> list[Session]:
        """Sessions that nobody used for longer than results are kept."""
        oldest = time.monotonic() - self._limits.keep_seconds
        return [session for session in self._sessions.values() if session.used < oldest and not session.coming]

    @property
    def root(self) -> Path:
        """Where everything lies."""
        return self._root

    def drop(self, session: Session) -> None:
        """Delete a session and all its files."""
        self._sessions = {key: held for key, held in self._sessions.items() if held is not session}
        shutil.rmtree(session.folder, ignore_errors=True)

    def close(self) -> None:
        """Delete everything."""
        self._sessions.clear()
        shutil.rmtree(self._root, ignore_errors=True)
        self._lock.release()
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink()


def harmless_name(name: str) -> str:
    """A file name for showing and for downloads: no folders, no control or invisible characters, not too long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(
        c for c in unicodedata.normalize("NFC", last) if unicodedata.category(c)[0] not in "CZ" or c == " "
    )
    stem, dot, suffix = printable.strip(" .").rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    return f"{stem[:_LONGEST_NAME]}{dot}{suffix[:10]}" or "upload"


def _private_folder() -> tuple[Path, FileLock]:
    """A new folder for this server alone; what servers that were killed left behind is deleted."""
    parent = Path(tempfile.gettempdir()) / f"dp2-web-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    with contextlib.suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    status = parent.lstat()
    if parent.is_symlink() or not parent.is_dir() or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
        raise UsageError(f"{parent}: is not this user's own folder; remove it or set TMPDIR.")
    parent.chmod(0o700)
    for old in parent.iterdir():
        if old.is_dir():
            delete_if_abandoned(old)
    name = secrets.token_hex(8)
    lock = FileLock(parent / f"{name}.lock")
    lock.acquire()
    root = parent / name
    root.mkdir(mode=0o700)
    return root, lock


def delete_if_abandoned(folder: Path) -> None:
    """Delete the folder of a server that is no more."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        with lock.acquire(timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except Timeout:
        return  # its server runs
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink()
