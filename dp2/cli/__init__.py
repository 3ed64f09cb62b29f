"""The command `dp2`; each subcommand is a file in `dp2/cli/commands/`, imported only when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from dp2 import __version__

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


class _Lazy(click.Group):
    """Help and dispatch without importing what the subcommands need."""

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


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dp2")
def main() -> None:
    """Find every person in photos and video and make them unrecognisable."""
