"""`dp2 configs`: the anonymizers that come with dp2."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import click

from dp2.cli.command import GroupedCommand

if TYPE_CHECKING:
    from dp2.weights.store import Store

_HEAD = ("name", "weights", "what it does")


@click.command(cls=GroupedCommand)
def configs() -> None:
    """List the anonymizers that come with dp2, what each does, and whether its weights are on this machine."""
    from dp2.weights.needs import anonymizers_lacking_extras
    from dp2.weights.store import Store

    store, lacking = Store(), anonymizers_lacking_extras()
    rows = [_HEAD, *((name, _weights(name, store), _description(name)) for name in _names())]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, weights, description in rows:
        needs = f" (needs pip install 'dp2[{lacking[name]}]')" if name in lacking else ""
        click.echo(f"{name:{first}}  {weights:{second}}  {description}{needs}".rstrip())


def _names() -> list[str]:
    """The default first, then those for everybody, then those of studies."""
    from dp2.cli.inputs import DEFAULT_CONFIG
    from dp2.config import config_names

    return sorted(config_names(), key=lambda name: (name != DEFAULT_CONFIG, "/" in name, name.lower()))


def _description(name: str) -> str:
    from dp2.config import find_config

    text = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0] if text else ""


def _weights(name: str, store: Store) -> str:
    """Whether it can run without a download."""
    from dp2.weights.needs import anonymizer_needs
    from dp2.weights.registry import entries

    needed = anonymizer_needs().get(name)
    if needed is None:
        return "the config is broken"
    known = [entries()[weights] for weights in needed if weights in entries()]
    if all(store.locate(entry.name) is not None for entry in known):
        return "with pip" if all(entry.package is not None for entry in known) else "on this machine"
    return "to be fetched"
