"""Downloads of checkpoints as the command line shows them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from dp2.weights.registry import Entry
    from dp2.weights.store import Store


def fetch_missing(tree: DictConfig, *, offline: bool, detector: bool) -> None:
    """Say which checkpoints of a config are missing, under which licences, and fetch them.

    Args:
        tree: the config with its overrides.
        offline: never use the network, whatever the environment says.
        detector: False where detections are given, so that its checkpoints are not needed.

    Raises:
        MissingWeights: something may not be fetched, or nobody could be asked about what has no licence; nothing was.
        DownloadError, ChecksumMismatch: as of `Store.fetch`.
    """
    from dp2.weights.obtain import announcement, to_fetch
    from dp2.weights.settings import Settings
    from dp2.weights.store import Store

    settings = Settings.from_environment()
    store = Store(replace(settings, offline=settings.offline or offline))
    absent = to_fetch(tree, store, detector=detector, agreed=_agreed)
    if absent:
        click.echo("\n".join(announcement(absent)), err=True)
    for entry in absent:
        fetch_shown(store, entry, err=True)


def _agreed(unlicensed: Sequence[Entry]) -> bool:
    """Ask on a terminal; elsewhere nobody can answer."""
    from dp2.weights.missing import size_text

    if not _at_terminal():
        return False
    for entry in unlicensed:
        click.echo(f"{entry.name}: {entry.network}; {size_text(entry.size)}; licence: {entry.licence}", err=True)
    return click.confirm("Fetch although no licence is stated?", default=False, err=True)


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def fetch_shown(store: Store, entry: Entry, *, err: bool = False) -> None:
    """Fetch one checkpoint with a progress bar, and say what it was compared with.

    Args:
        err: on standard error.

    Raises:
        WeightsError: as of `Store.fetch`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from dp2.cli.pace import Pace

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console, pace = Console(stderr=err), Pace(entry.name, "MB")
    with Progress(
        *columns, TimeRemainingColumn(), transient=True, console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(entry.name, total=entry.size)

        def progress(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)
            pace.count = done // 1_000_000
            size = None if total is None else total // 1_000_000
            if not console.is_terminal and (line := pace.line(size)) is not None:
                click.echo(line, err=err)

        path = store.fetch(entry.name, progress)
    found = store.verify(entry.name)
    click.echo(
        f"{entry.name}: {path} ({found.trust.value.replace('NAME', entry.name)}; sha256 {found.sha256})", err=err
    )
