"""The command `dp2`; each subcommand is a file in `dp2/cli/commands/`, imported only when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from dp2 import __version__
from dp2.cli.command import SuggestingGroup, suggestion

_COMMANDS = {  # name: (module, attribute, help)
    "anonymize": ("anonymize", "anonymize", "Make the people in photos, folders, videos or a camera unrecognisable."),
    "configs": ("configs", "configs", "List the anonymizers that come with dp2."),
    "dataset": ("dataset", "dataset", "Build training sets from photos and videos, and look at samples."),
    "export": ("export", "export", "Write a generator as ONNX."),
    "frames": ("frames", "frames", "A video as a folder of frames, and back."),
    "train": ("train", "train", "Train the generator of a config."),
    "serve": ("serve", "serve", "Open dp2 in a browser: a page, a queue and a JSON API."),
    "samples": ("samples", "samples", "Paint a sheet of samples with a generator."),
    "validate": ("validate", "validate", "Measure a generator on its validation data."),
    "w-centers": ("w_centers", "w_centers", "Make the centres of multi-modal truncation for a generator."),
    "run": ("run_pipeline", "run_pipeline", "Run a PeekingDuck pipeline."),
    "weights": ("weights", "weights", "List, fetch, verify and import checkpoints."),
}


_DEFAULT = "anonymize"  # what `dp2 photo.jpg` does
_OWN_OPTIONS = ("-h", "--help", "--version")


class _Lazy(SuggestingGroup):
    """Help and dispatch without importing what the subcommands need."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in _OWN_OPTIONS and self._is_for_default(args[0]):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def _is_for_default(self, word: str) -> bool:
        """Whether a first word is none of a command but an input, an anonymizer or an option."""
        if word in _COMMANDS:
            return False
        if word.startswith("-"):
            return True
        from dp2.cli.inputs import can_begin

        return can_begin(word)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"there is no command, file or anonymizer {args[0]}.{suggestion(args[0], _known())}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click calls it)
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"dp2.cli.commands.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][2]) for name in self.list_commands(ctx)])


def _known() -> list[str]:
    from dp2.config import config_names

    return [*sorted(_COMMANDS), *(name for name in config_names() if "/" not in name)]


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dp2")
def main() -> None:
    """Find every person in photos and video and make them unrecognisable.

    \b
    dp2 photo.jpg                 the same as dp2 anonymize photo.jpg
    dp2 COMMAND --help            about a command
    """
