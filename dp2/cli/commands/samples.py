"""`dp2 samples`: a sheet of what a generator paints."""

from __future__ import annotations

from pathlib import Path

import click

from dp2.cli.command import GroupedCommand, option

_WHAT, _HOW = "What to show", "How"


@click.command(cls=GroupedCommand)
@click.argument("config")
@option("Output", "-o", "--output-path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A .png.")
@option("Output", "--overwrite", is_flag=True, help="Replace an existing output.")
@option(_WHAT, "--rows", type=click.IntRange(min=1), default=6, show_default=True, help="Samples.")
@option(_WHAT, "--latents", type=click.IntRange(min=1), default=4, show_default=True, help="Latents of each.")
@option(_WHAT, "--checkpoint", help="In place of the config's weights: name, file, or a step-… folder of a run.")
@option(_WHAT, "--seed", type=int, default=0, show_default=True, help="Of latents and of chance in the data.")
@option(_HOW, "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
def samples(
    config: str,
    output_path: Path,
    overwrite: bool,
    rows: int,
    latents: int,
    checkpoint: str | None,
    seed: int,
    device: str,
) -> None:
    """Paint a sheet with the generator of CONFIG: a row a sample of its validation data.

    Columns: the original, the hole, several latents, then the first latent at truncations from 0 (the average style)
    to 1 (as drawn).
    """
    from dp2.errors import UsageError
    from dp2.metrics.setup import subject
    from dp2.metrics.sheet import SheetSettings, sample_sheet
    from dp2.sink.atomic import atomic_path, check_free

    if output_path.suffix.lower() != ".png":
        raise UsageError(f"{output_path}: a sheet is a .png file.")
    check_free(output_path, overwrite=overwrite)
    shown = subject(config, checkpoint=checkpoint, device=device, seed=seed)
    sheet = sample_sheet(shown.dataset, shown.painter, SheetSettings(rows=rows, latents=latents, seed=seed))
    from PIL import Image

    with atomic_path(output_path, overwrite=overwrite) as temporary:
        Image.fromarray(sheet).save(temporary, "PNG")
    click.echo(f"{output_path}: {sheet.shape[1]}×{sheet.shape[0]} pixels")
