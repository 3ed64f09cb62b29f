"""Click commands whose help shows options in groups, whose errors are one line with an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import click

from dp2.errors import Dp2Error
from dp2.extras import needing
from dp2.failures import said, wants_tracebacks

_GROUP = "_dp2_group"
_REST = "Other"
INTERRUPTED = 130  # exit code after Ctrl-C: 128 + SIGINT, as shells count


class Terminated(KeyboardInterrupt):
    """The process is to end for another reason than Ctrl-C, e.g. because its terminal was closed."""


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
        except Terminated:
            raise
        except KeyboardInterrupt as error:
            click.echo("stopped; nothing half-written is left.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, GeneratorExit):
            raise
        except BaseException as error:  # a plugin's SystemExit(0) must not look like success
            if wants_tracebacks():
                raise
            raise _Shown(f"{self.name} failed ({said(error)}); DP2_DEBUG=1 shows where.", 1) from error


class SuggestingGroup(click.Group):
    """A group that names the nearest command where one is misspelt."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            ctx.fail(f"there is no command {name}.{suggestion(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def suggestion(name: str, known: list[str]) -> str:
    """A sentence with the names that were perhaps meant, else with all."""
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else f" There are {', '.join(known)}."


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
