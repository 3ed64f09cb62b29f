"""`dp2 weights`: list, fetch, verify, locate and import checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dp2.cli.command import GroupedCommand, option

if TYPE_CHECKING:
    from dp2.weights.registry import Entry
    from dp2.weights.store import Store


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def weights() -> None:
    """List, fetch, verify and import checkpoints.

    They are looked for in the folders named in DP2_WEIGHTS, then in DP2_HOME/weights. DP2_MIRROR is a base URL to fetch
    from first; DP2_OFFLINE=1 forbids the network; DP2_TIMEOUT is in seconds.
    """


@weights.command("list", cls=GroupedCommand)
@option("Output", "--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(as_json: bool) -> None:
    """List every known checkpoint, whether it is on this machine, its size, checksum, licence and users."""
    from dp2.weights.missing import size_text
    from dp2.weights.needs import anonymizer_needs
    from dp2.weights.registry import entries
    from dp2.weights.store import Store

    store, needs = Store(), anonymizer_needs()
    users = {name: tuple(config for config, needed in needs.items() if name in needed) for name in entries()}
    rows = [_row(entry, store, users[entry.name]) for entry in entries().values()]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        here = "here" if row["path"] else "absent"
        click.echo(f"{row['name']:{width}}  {here:6}  {row['network']}")
        details = [size_text(row["size"]), row["checksum"], f"licence: {row['licence']}"]
        details += [f"used by {', '.join(row['anonymizers'])}"] if row["anonymizers"] else []
        click.echo(f"{'':{width}}          {'; '.join(details)}")


@weights.command(cls=GroupedCommand)
@click.argument("names", nargs=-1, required=True)
@option("Fetching", "-y", "--yes", is_flag=True, help="Accept the licences that are shown.")
@option("Fetching", "--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds without a byte.")
def fetch(names: tuple[str, ...], yes: bool, timeout: float | None) -> None:
    """Fetch checkpoints, by their own NAMES or by those of the anonymizers and configs that need them."""
    from dataclasses import replace

    from dp2.cli.fetching import fetch_shown
    from dp2.weights.obtain import announcement
    from dp2.weights.settings import Settings
    from dp2.weights.store import Store

    settings = Settings.from_environment()
    store = Store(settings if timeout is None else replace(settings, timeout=timeout))
    wanted = _resolve(names)
    if not wanted:
        click.echo(f"{', '.join(names)}: no checkpoint is needed.")
        return
    absent = []
    for entry in wanted:
        path = store.locate(entry.name)
        if path is None:
            absent.append(entry)
        else:
            click.echo(f"{entry.name}: {path}")
    if absent:
        click.echo("\n".join(announcement(absent)))
        _agree(yes)
        for entry in absent:
            fetch_shown(store, entry)


@weights.command(cls=GroupedCommand)
@click.argument("names", nargs=-1)
@option("Pinning", "--pin", is_flag=True, help="Record the sha256 of NAMES for which no whole checksum is published.")
def verify(names: tuple[str, ...], pin: bool) -> None:
    """Compare checkpoints on this machine (all of them without NAMES) with their published or pinned checksums."""
    from dp2.errors import UsageError, WeightsError
    from dp2.weights.registry import entries, find
    from dp2.weights.store import Store

    if pin and not names:
        raise UsageError("--pin needs names: pin only what you have verified yourself.")
    store = Store()
    chosen = [find(name).name for name in names] or [name for name in entries() if store.locate(name)]
    failures: list[WeightsError] = []
    for name in chosen:
        try:
            found = store.verify(name, pin=pin)
        except WeightsError as error:
            failures.append(error)
            click.echo(f"{name}: FAILED: {error}", err=True)
        else:
            click.echo(f"{name}: {found.path}: sha256 {found.sha256}: {found.trust.value.replace('NAME', name)}")
    if failures:
        raise type(failures[0])(f"{len(failures)} of {len(chosen)} checkpoints failed.")
    if not chosen:
        click.echo("No checkpoint is on this machine.")


@weights.command(cls=GroupedCommand)
@click.argument("name")
def path(name: str) -> None:
    """Print where the checkpoint NAME lies on this machine."""
    from dp2.weights.store import Store

    click.echo(Store().path(name))


@weights.command("import", cls=GroupedCommand)
@click.argument("file", type=click.Path(path_type=Path))
@option("Output", "-o", "--output-path", type=click.Path(path_type=Path), help="Beside FILE as .safetensors if absent.")
@option("Output", "--overwrite", is_flag=True, help="Replace an existing output.")
def import_(file: Path, output_path: Path | None, overwrite: bool) -> None:
    """Convert a torch or detectron2 FILE to safetensors; nothing in it is executed."""
    from dp2.weights.importing import import_checkpoint

    click.echo(import_checkpoint(file, output_path, overwrite=overwrite))


def _row(entry: Entry, store: Store, users: tuple[str, ...]) -> dict[str, Any]:
    found = store.locate(entry.name)
    whole, *_ = [*(f"{name} {digest}" for name, digest in entry.checksums.items()), "no checksum published"]
    return {
        "name": entry.name,
        "file": entry.file,
        "network": entry.network,
        "path": None if found is None else str(found),
        "size": entry.size,
        "checksum": whole if entry.fully_checked or not entry.checksums else f"{whole}…",
        "licence": entry.licence,
        "urls": list(store.urls(entry)),
        "anonymizers": list(users),
    }


def _resolve(names: tuple[str, ...]) -> list[Entry]:
    """Registry entries of names that may also be anonymizers or configs, each once."""
    from dp2.errors import ConfigError, UsageError
    from dp2.weights.needs import weights_of
    from dp2.weights.registry import entries, find

    wanted: dict[str, Entry] = {}
    for name in names:
        if name in entries():
            needed: tuple[str, ...] = (name,)
        else:
            try:
                needed = weights_of(name)
            except ConfigError as error:
                raise UsageError(
                    f"{name} is neither a checkpoint (see dp2 weights list) nor a config: {error}"
                ) from error
        wanted |= {known: find(known) for known in needed if known in entries() or not Path(known).is_file()}
    return list(wanted.values())


def _agree(yes: bool) -> None:
    import sys

    from dp2.errors import UsageError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("licences must be accepted: run again with --yes.")
    click.confirm("Fetch under these licences?", abort=True)
