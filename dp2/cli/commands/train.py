"""`train.py` and `dp2 train`: train the generator of a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dp2.cli.command import GroupedCommand

if TYPE_CHECKING:
    from dp2.training.loop import Ending


@click.command(cls=GroupedCommand, extra="train", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the run.  [default: outputs/<config>; BASE_OUTPUT_DIR replaces outputs]",
)
@click.option(
    "--resume/--fresh",
    default=True,
    help="Go on from the folder's latest checkpoint, or start over.  [default: resume]",
)
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop after so long, with a checkpoint.")
@click.option("--dry-run", is_flag=True, help="One step of everything on four images; nothing is kept.")
@click.option(
    "--export",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.safetensors",
    help="Do not train: write the averaged generator of the best, else latest, checkpoint.",
)
@click.option("--dtype", type=click.Choice(["fp32", "fp16"]), default="fp32", show_default=True, help="Of --export.")
@click.option("--overwrite", is_flag=True, help="Let --export replace a file.")
def train(
    config: str,
    overrides: tuple[str, ...],
    output: Path | None,
    resume: bool,
    minutes: float | None,
    dry_run: bool,
    target: Path | None,
    dtype: str,
    overwrite: bool,
) -> None:
    """Train the generator of CONFIG (e.g. configs/fdf/stylegan.py).

    Settings are changed by name, e.g. training.batch=16. A run that was stopped, killed or lost its power goes on where
    its last checkpoint is, exactly as if it had not been. On several GPUs or machines: torchrun --nproc-per-node 4
    train.py CONFIG.
    """
    from dp2.training.run import Request, export, rehearse, run

    request = Request(config=config, overrides=overrides, output=output, fresh=not resume, minutes=minutes)
    if target is not None:
        step = export(request.folder, target, dtype=dtype, overwrite=overwrite)
        click.echo(f"{target}: the averaged generator of step {step}, {dtype}")
        return
    if dry_run:
        ending = rehearse(request)
        _say(
            ending,
            f"dry run: {ending.step} step of {ending.images} images, a sheet, a checkpoint and its loading went well",
        )
        return
    ending = run(request, [_Lines()])
    _say(
        ending,
        f"{'stopped (' + ending.reason + ')' if ending.reason else 'finished'} after step {ending.step}, "
        f"{ending.images} images; checkpoint {ending.checkpoint}",
    )


def _say(ending: Ending, text: str) -> None:
    """Once, of however many processes."""
    if ending.leads:
        click.echo(text)


class _Lines:
    """A `Log` that prints."""

    def numbers(self, step: int, images: int, values: Mapping[str, float]) -> None:
        parts = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        click.echo(f"step {step}  images {images}  {parts}")

    def sheet(self, images: int, path: Path) -> None:
        click.echo(f"images {images}  sheet {path}")

    def close(self) -> None:
        """Nothing is held back."""
