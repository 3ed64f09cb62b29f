"""`dp2 dataset`: build training sets, look at them, make up tiny ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dp2.cli.command import GroupedCommand, option

_OUTPUT, _WHAT, _FILTERS, _STORED = "Output", "What to cut out", "What to drop", "What to store"
_FORMATS = ("fdf128", "fdf256", "fdh", "coco_cse")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def dataset() -> None:
    """Build training sets from photos and videos, look at samples, make up tiny sets to try things with."""


@dataset.command(cls=GroupedCommand)
@click.argument("config_or_folder")
@option(_OUTPUT, "-o", "--output-path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A .png.")
@option(_OUTPUT, "--overwrite", is_flag=True, help="Replace an existing output.")
@option("What to show", "--split", type=click.Choice(["train", "validation"]), default="train", show_default=True)
@option("What to show", "--count", type=click.IntRange(1, 1000), default=24, show_default=True, help="Samples.")
@option("What to show", "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of augmentation.")
def show(config_or_folder: str, output_path: Path, overwrite: bool, split: str, count: int, seed: int) -> None:
    """Draw samples of CONFIG_OR_FOLDER onto one sheet: picture with keypoints, hole, surface."""
    from dp2.data.sheet import write_sheet
    from dp2.data.shown import tiles_of
    from dp2.errors import UsageError
    from dp2.sink.atomic import check_free

    if output_path.suffix.lower() != ".png":
        raise UsageError(f"{output_path}: a sheet is a .png file.")
    check_free(output_path, overwrite=overwrite)
    tiles = tiles_of(config_or_folder, split, count, seed)
    write_sheet(output_path, tiles, columns=max(1, 8 // len(tiles[0].images)), overwrite=overwrite)
    click.echo(f"{output_path}: {len(tiles)} samples")


@dataset.command(cls=GroupedCommand)
@click.argument("kind", metavar="FORMAT", type=click.Choice(_FORMATS))
@option(_OUTPUT, "-o", "--output-path", type=click.Path(path_type=Path), required=True, help="Folder to be made.")
@option("What to make", "--count", type=click.IntRange(1, 10000), default=24, show_default=True, help="To train.")
@option("What to make", "--seed", type=click.IntRange(min=0), default=0, show_default=True)
def synthesize(kind: str, output_path: Path, count: int, seed: int) -> None:
    """Make up a tiny set of FORMAT (fdf128, fdf256, fdh, coco_cse) of drawn figures, to try training with."""
    from dp2.data.synthetic import synthesize as make

    make(kind, output_path, count=count, seed=seed)
    click.echo(f"{output_path}: {count} samples to train, {max(1, count // 3)} to validate")


@dataset.command("build", cls=GroupedCommand)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@option(_OUTPUT, "-o", "--output-path", type=click.Path(path_type=Path), required=True, help="Folder to be made.")
@option(_OUTPUT, "--overwrite", is_flag=True, help="Replace an existing set.")
@option(_WHAT, "--faces", "kind", flag_value="face", default=True, help="Faces with landmarks (the default).")
@option(_WHAT, "--bodies", "kind", flag_value="person", help="Bodies with masks.")
@option(_WHAT, "--detector-config", help="Anonymizer whose detector finds them.  [default: face_blur or body_light]")
@option(_WHAT, "--context", type=float, help="Side of the crop by the box's.  [default: 2.0 for faces, 1.3 for bodies]")
@option(_WHAT, "--fps", type=float, default=1.0, show_default=True, help="Frames a second of videos.")
@option(_FILTERS, "--min-size", type=int, default=48, show_default=True, help="Longer side of the box, in pixels.")
@option(_FILTERS, "--min-score", type=float, default=0.5, show_default=True, help="Of the detector.")
@option(_FILTERS, "--min-sharpness", type=float, default=250.0, show_default=True, help="Variance of the Laplacian.")
@option(_FILTERS, "--max-cut", type=float, default=0.1, show_default=True, help="Share of the box outside the photo.")
@option(_FILTERS, "--max-same", type=int, default=10, show_default=True, help="Bits of 256 between near-duplicates.")
@option(_FILTERS, "--limit", type=int, help="Stop at so many crops.")
@option(_STORED, "--size", type=int, default=256, show_default=True, help="Longest side of a crop, in pixels.")
@option(_STORED, "--quality", type=int, default=92, show_default=True, help="Of the WebP; 101 is lossless.")
@option(_STORED, "--val", "validation", type=float, default=0.02, show_default=True, help="Share of files set apart.")
@option(_STORED, "--seed", type=int, default=0, show_default=True, help="Decides which files are set apart.")
@option(_STORED, "--names", is_flag=True, help="Store names of source files, not hashes of them.")
def build_(inputs: tuple[Path, ...], output_path: Path, overwrite: bool, **values: Any) -> None:
    """Cut faces or bodies out of INPUTS (photos, videos, folders) and store them as shards to train on.

    A build that was broken off goes on where it was when the same command is given again. OUT/report.md says what was
    kept, and what was dropped and why.
    """
    from rich.console import Console
    from rich.progress import Progress

    from dp2.data.builder.run import build_dataset
    from dp2.data.builder.settings import BuildSettings

    body = values["kind"] == "person"
    values["detector_config"] = values["detector_config"] or ("body_light" if body else "face_blur")
    if values["context"] is None:
        values["context"] = 1.3 if body else 2.0
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("files", total=None)

        def progress(done: int, total: int, kept: int) -> None:
            bars.update(task, completed=done, total=total, description=f"files, {kept} crops")

        built = build_dataset(inputs, output_path, BuildSettings(**values), overwrite=overwrite, progress=progress)
    samples = built.summary["samples"]
    dropped = ", ".join(f"{count} {reason}" for reason, count in built.summary["dropped"].items()) or "none"
    click.echo(f"{output_path}: {samples['train']} crops to train, {samples['val']} to validate; dropped: {dropped}")
    if built.summary["unreadable"]:
        click.echo(f"{len(built.summary['unreadable'])} files could not be read; see report.md.", err=True)
    if values["validation"] > 0 and not samples["val"]:
        click.echo("no file fell into the validation split; use a larger --val.", err=True)
