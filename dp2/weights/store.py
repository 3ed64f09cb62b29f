"""Checkpoints on this machine: found in the user's folders, in the cache, in an installed package, or fetched."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dp2.errors import ChecksumMismatch, DownloadError, MissingWeights, UsageError
from dp2.weights.missing import missing_message
from dp2.weights.registry import Entry, entries, find, packaged
from dp2.weights.settings import Settings
from dp2.weights.verify import Pins, Trust, Verified, check_named, digest, is_copy, verify

if TYPE_CHECKING:
    from dp2.weights.download import Progress

_log = logging.getLogger("dp2.weights")
_CONVERTED = ("torch", "detectron2")


class Store:
    """Finds, fetches and verifies the files of the registry.

    Args:
        settings: from the environment where None.
        lookup: name → entry; the registry, save in tests.
        alternatives: names of anonymizers that run without more files, for the error; asked only when it is raised.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        lookup: Callable[[str], Entry] = find,
        alternatives: Callable[[Store], Sequence[str]] | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environment()
        self.pins = Pins(self.settings.cache)
        self._lookup = lookup
        self._alternatives = alternatives or _ready_anonymizers

    def entry(self, name: str) -> Entry:
        """The registry's row.

        Raises:
            UsageError: there is none.
        """
        return self._lookup(name)

    def locate(self, name: str) -> Path | None:
        """The file on this machine, None where it is absent. Never uses the network.

        `DP2_WEIGHTS` folders come first, in their order, then the cache, then the package that carries it. In each, a
        copy converted by `dp2 weights import` (.safetensors) comes before the published file.

        Raises:
            UsageError: no such name.
        """
        entry = self.entry(name)
        for folder in (*self.settings.folders, self.settings.cache):
            for candidate in _file_names(entry):
                if (folder / candidate).is_file():
                    return folder / candidate
        return packaged(entry.package.name, entry.package.path) if entry.package else None

    def path(self, name_or_path: str) -> Path:
        """The file on this machine, by registry name or as a path. Never uses the network.

        Raises:
            MissingWeights: it is absent; the message says how to get it and what works without it.
            ChecksumMismatch: the file of that name is another one.
            UsageError: neither a known name nor a file.
        """
        given = _given_file(name_or_path)
        if given is not None:
            return given
        found = self.locate(name_or_path)
        if found is None:
            raise self._missing(self.entry(name_or_path), None)
        return self._checked(name_or_path, found)

    def get(self, name_or_path: str, progress: Progress | None = None) -> Path:
        """The file, fetched first if it is absent and the network may be used.

        Raises:
            MissingWeights: it is absent and cannot be fetched.
            ChecksumMismatch: what the mirrors hold, or lies here under its name, is not the published file.
            UsageError: neither a known name nor a file.
        """
        given = _given_file(name_or_path)
        if given is not None:
            return given
        try:
            return self.fetch(name_or_path, progress)
        except DownloadError as error:
            raise self._missing(self.entry(name_or_path), str(error)) from error

    def fetch(self, name: str, progress: Progress | None = None) -> Path:
        """Download into the cache, unless the file is on this machine already.

        Two processes that want the same file wait for each other, and the second finds it there.

        Raises:
            MissingWeights: offline, or the file comes with a package that is not installed.
            DownloadError: every mirror failed; each one's reason is named.
            ChecksumMismatch: a mirror holds another file than the published one, of which none is kept; or the file
                that is here is another one.
            UsageError: no such name.
        """
        found = self.locate(name)
        if found is not None:
            return self._checked(name, found)
        entry = self.entry(name)
        if entry.package is not None:
            raise self._missing(entry, None)
        if self.settings.offline:
            raise self._missing(entry, "DP2_OFFLINE is set")
        from filelock import FileLock

        try:
            self.settings.cache.mkdir(parents=True, exist_ok=True)
            with FileLock(self.settings.cache / f"{entry.file}.lock"):
                return self.locate(name) or self._fetch(entry, progress)
        except OSError as error:
            raise DownloadError(
                f"{entry.name}: {self.settings.cache} cannot be written ({error.strerror}); set DP2_HOME elsewhere."
            ) from error

    def verify(self, name: str, *, pin: bool = False) -> Verified:
        """Compare the file on this machine with the published or pinned checksum.

        Args:
            pin: where no whole checksum is published, record this file's sha256 for good.

        Raises:
            MissingWeights: it is absent.
            ChecksumMismatch: it is another file.
            UsageError: no such name.
        """
        path = self.locate(name)
        if path is None:
            raise self._missing(self.entry(name), None)
        found = verify(self.entry(name), path, self.pins)
        if pin and found.trust in (Trust.UNPINNED, Trust.PREFIX):
            self.pins.set(path.name, found.sha256)
            return Verified(path, found.sha256, Trust.PINNED)
        return found

    def pin_copy(self, source: Path, copy: Path) -> bool:
        """Vouch for what was converted from a published file, so that it is found by the checkpoint's name.

        Returns:
            False where the copy has a checkpoint's name and its source is not that checkpoint.

        Raises:
            WeightsError: a file or the pins cannot be read or written.
        """
        named = [entry for entry in entries().values() if copy.name in {Path(name).name for name in _file_names(entry)}]
        copied = [entry for entry in named if is_copy(entry, copy.name)]
        if not copied:
            return True
        for entry in copied:
            try:
                verify(entry, source, self.pins, name=entry.file)
            except ChecksumMismatch:
                continue
            self.pins.set(copy.name, digest(copy, "sha256"))
            return True
        return False

    def _checked(self, name: str, found: Path) -> Path:
        """A file found under a name; what an installed package carries, its installer has checked."""
        entry = self.entry(name)
        if entry.package is None or found != packaged(entry.package.name, entry.package.path):
            check_named(entry, found, self.pins)
        return found

    def urls(self, entry: Entry) -> tuple[str, ...]:
        """Where an entry is fetched from, in order."""
        mirror = self.settings.mirror
        own = () if mirror is None or entry.package else (f"{mirror.rstrip('/')}/{entry.file}",)
        return (*own, *entry.urls)

    def _fetch(self, entry: Entry, progress: Progress | None) -> Path:
        from dp2.weights.download import DiskFull  # and with it requests, which takes 0.1 s to import

        part = self.settings.cache / f"{entry.file}.part"
        failures: list[str] = []
        mismatch: ChecksumMismatch | None = None
        for url in self.urls(entry):
            try:
                return self._fetch_from(url, entry, part, progress)
            except DiskFull as error:
                raise DownloadError(f"{entry.name}: {error}") from error
            except DownloadError as error:
                failures.append(f"{url}: {error}")
            except ChecksumMismatch as error:
                failures.append(f"{url}: holds another file")
                mismatch = error
        text = f"{entry.name}: cannot be fetched. " + "; ".join(failures)
        if mismatch is not None:
            raise ChecksumMismatch(f"{text}. Nothing was kept. {mismatch}") from mismatch
        raise DownloadError(f"{text}. Fetched elsewhere, it belongs where this says: dp2 weights path {entry.name}")

    def _fetch_from(self, url: str, entry: Entry, part: Path, progress: Progress | None) -> Path:
        from dp2.weights.download import download, forget

        resumed = part.exists()
        checked = bool(entry.checksums) or self.pins.get(entry.file) is not None
        while True:
            download(url, part, checked=checked, timeout=self.settings.timeout, progress=progress or _silent)
            try:
                found = verify(entry, part, self.pins, name=entry.file)
            except ChecksumMismatch:
                forget(part)
                if not resumed:
                    raise
                resumed = False  # the old beginning may be to blame: once more from zero
                continue
            if found.trust is Trust.UNPINNED:
                _log.warning("%s: no checksum is published; %s has sha256 %s", entry.name, entry.file, found.sha256)
            return _place(part, self.settings.cache / entry.file)

    def _missing(self, entry: Entry, reason: str | None) -> MissingWeights:
        return MissingWeights(
            missing_message(entry, self.urls(entry), self.settings.cache, reason, alternatives=self._alternatives(self))
        )


def _place(part: Path, target: Path) -> Path:
    from dp2.weights.download import forget

    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, target)
    forget(part)
    return target


def _silent(_done: int, _total: int | None) -> None:
    """For callers who do not follow the progress."""


def _file_names(entry: Entry) -> tuple[str, ...]:
    """Names under which a folder may hold an entry: the file's, or the registry's as a path."""
    stems = (str(Path(entry.file).with_suffix("")), entry.name)
    converted = tuple(f"{stem}.safetensors" for stem in stems) if entry.format in _CONVERTED else ()
    return (*converted, entry.file, f"{entry.name}{Path(entry.file).suffix}", entry.name)


def _given_file(name_or_path: str) -> Path | None:
    """A user's own checkpoint, given as a path instead of a registry name."""
    path = Path(name_or_path).expanduser()
    if path.suffix and path.is_file():
        return path
    if path.is_absolute():
        raise UsageError(f"{path}: there is no such checkpoint file.")
    return None


def _ready_anonymizers(store: Store) -> Sequence[str]:
    from dp2.weights.needs import ready_anonymizers

    return ready_anonymizers(store.locate)
