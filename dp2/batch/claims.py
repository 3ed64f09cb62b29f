"""Claims: files by which processes, also on several machines, tell each other what they are working on.

A claim is a file that its owner touches every few seconds. Whoever sees that it is not touched any more, or that its
owner on the same machine is dead, takes the work over. To take over is to create the claim's next generation, which
the file system lets only one process do; so no two can take one claim, whatever their clocks say.

A claim is believed only as far as that: one that anybody else laid there delays work until it expires.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from dp2.batch.seals import open_regular
from dp2.sink.atomic import output_error

LEASE = 60.0  # seconds; longer than network file systems remember a file's age
_BEATS = 6  # touches within a lease
_LARGEST = 4096  # bytes of a claim
_GENERATION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


class Claim:
    """Work that is ours until it is released or lost; use it in a `with` block."""

    def __init__(self, owner: Claims, path: Path) -> None:
        self._owner = owner
        self.path = path

    @property
    def held(self) -> bool:
        """Whether nobody has taken it over, e.g. while this machine slept.

        By its content: who took it over may be done, and a third process have begun anew under the same name.
        """
        try:
            return _content(self.path) == self._owner._me
        except OSError:
            return False

    def release(self) -> None:
        """Let others have it. Harmless a second time."""
        self._owner._forget(self)
        if self.held:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Claims:
    """The claims of one process in a folder; use it in a `with` block, which releases what is still held.

    Args:
        folder: is made when the first claim is taken and removed with the last.
        lease: seconds after which a claim that is not touched expires.
    """

    def __init__(self, folder: Path, *, lease: float = LEASE) -> None:
        self._folder = folder
        self._lease = lease
        self._me = json.dumps(_identity())
        self._held: set[Claim] = set()
        self._seen: dict[Path, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="dp2-claims", daemon=True)

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for claim in list(self._held):
            claim.release()
        with suppress(OSError):  # others still work
            self._folder.rmdir()

    def take(self, name: str) -> Claim | None:
        """Claim some work.

        Args:
            name: letters, digits, `-` and `_`.

        Returns:
            None where another process is at it.

        Raises:
            OutputError: the folder cannot be written to.
        """
        generations = self._generations(name)
        newest = max(generations, default=0)
        if generations and not self._expired(generations[newest]):
            return None
        path = self._folder / f"{name}.{newest + 1}"
        try:
            self._create(path)
        except FileExistsError:
            return None
        except OSError as error:
            raise output_error(error, path) from error
        for older in generations.values():
            with suppress(OSError):
                older.unlink(missing_ok=True)
        claim = Claim(self, path)
        with self._lock:
            self._held.add(claim)
        return claim

    def others(self) -> bool:
        """Whether another process holds a claim that has not expired."""
        own = {claim.path for claim in self._held}
        return any(path not in own and not self._expired(path) for path in self._files())

    def sweep(self) -> None:
        """Remove what dead processes left."""
        own = {claim.path for claim in self._held}
        for path in self._files():
            if path not in own and _GENERATION.fullmatch(path.suffix[1:]) and self._expired(path):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir())
        except OSError:
            return []

    def _generations(self, name: str) -> dict[int, Path]:
        found = {}
        for path in self._files():
            stem, _, generation = path.name.rpartition(".")
            if stem == name and _GENERATION.fullmatch(generation):
                found[int(generation)] = path
        return found

    def _create(self, path: Path) -> None:
        for _ in range(100):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileNotFoundError:  # another process, which ended, has just removed the folder
                continue
            with os.fdopen(file, "w", encoding="utf-8") as out:
                out.write(self._me)
            return
        raise FileNotFoundError(2, "the folder is removed again and again", str(path))

    def _expired(self, path: Path) -> bool:
        """By our own clock: what counts is how long we have seen it untouched."""
        try:
            touched, content = path.stat().st_mtime_ns, _content(path)
        except OSError:
            return True
        if _is_dead(content):
            return True
        now = time.monotonic()
        known, since = self._seen.get(path, (None, now))
        if known != touched:
            self._seen[path] = touched, now
            return False
        return now - since > self._lease

    def _forget(self, claim: Claim) -> None:
        with self._lock:
            self._held.discard(claim)

    def _beat(self) -> None:
        while not self._stop.wait(self._lease / _BEATS):
            with self._lock:
                held = list(self._held)
            for claim in held:
                with suppress(OSError):  # released, or lost
                    if claim.held:
                        os.utime(claim.path)


def _content(path: Path) -> str:
    """What a claim says. Raises OSError for whatever is not a small regular file."""
    with open_regular(path, _LARGEST) as file:
        return file.read(_LARGEST).decode("utf-8", errors="replace")


def _identity() -> dict[str, Any]:
    """Which process this is, and on which machine: numbers of processes count only there."""
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def _machine() -> str | None:
    """The same for processes that see each other's numbers; None where that cannot be known (not Linux)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        return None
    # A digest: the folder may be handed on, the machine's name need not be known there.
    return hashlib.sha256(f"{socket.gethostname()} {boot} {space}".encode()).hexdigest()


def _started(pid: int) -> int | None:
    """When a process started, in ticks since boot (proc(5), field 22 of stat); None if it is dead or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _is_dead(content: str) -> bool:
    """Whether the owner of a claim is known to be gone."""
    try:
        owner = json.loads(content)
        machine, pid, started = owner["machine"], int(owner["pid"]), owner["started"]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return False  # not written yet, or by somebody else
    return machine is not None and machine == _machine() and _started(pid) != started
