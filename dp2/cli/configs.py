"""`dp2 configs`: the anonymizers that come with dp2."""

from __future__ import annotations

import ast

import click

from dp2.cli.command import GroupedCommand


@click.command(cls=GroupedCommand)
def configs() -> None:
    """List the anonymizers that come with dp2, as the command line takes them."""
    from dp2.config import config_names, find_config
    from dp2.weights.needs import anonymizers_lacking_extras

    lacking = anonymizers_lacking_extras()
    names = config_names()
    width = max(len(name) for name in names)
    for name in names:
        text = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
        needs = f" (needs pip install 'dp2[{lacking[name]}]')" if name in lacking else ""
        click.echo(f"{name:{width}}  {text.splitlines()[0] if text else ''}{needs}")
