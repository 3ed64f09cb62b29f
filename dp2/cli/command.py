"""A click command whose help shows options in groups and whose errors are one line with an exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from dp2.errors import Dp2Error
from dp2.extras import needing

_GROUP = "_dp2_group"
_REST = "Other"


class GroupedCommand(click.Command):
    """Options made by `option` are listed under their group; dp2's errors become click's.

    Args:
        extra: the extra of dp2 to install where the command lacks a package; None = the least that holds it.
    """

    def __init__(self, *args: Any, extra: str | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.extra = extra

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, _GROUP, _REST), []).append(record)
        rest = groups.pop(_REST, [])
        for name, records in (*groups.items(), (_REST, rest)):
            with formatter.section(name):
                formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with needing(ctx.command_path, self.extra):
                return super().invoke(ctx)
        except Dp2Error as error:
            raise _Shown(str(error), error.exit_code) from error


class _Shown(click.ClickException):
    """An error of dp2 as click prints it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance too


def option(group: str, *names: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`click.option` within a group of the help."""

    class Grouped(click.Option):
        pass

    setattr(Grouped, _GROUP, group)
    return click.option(*names, cls=Grouped, **settings)
