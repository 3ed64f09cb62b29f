"""`dp2 export`: a generator as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import click

from dp2.cli.command import GroupedCommand


@click.command(cls=GroupedCommand)
@click.argument("config")
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def export(config: str, output: Path, overwrite: bool) -> None:
    """Write the generator of CONFIG (e.g. configs/fdf/stylegan.py) as the ONNX file OUTPUT.

    Its inputs are condition (N, 3, h, w) in [-1, 1] and 0 in the hole, mask (N, 1, h, w) with 1 = keep, the style
    w (N, 512), and what else the generator needs; its output is image (N, 3, h, w). The batch axis is free.
    """
    from dp2.errors import UsageError
    from dp2.synthesize.exported import export_onnx
    from dp2.synthesize.generators import GeneratorSource

    if output.suffix != ".onnx":
        raise UsageError(f"{output}: an export is an .onnx file.")
    names = export_onnx(GeneratorSource(config).network(), output, overwrite=overwrite)
    click.echo(f"{output}: inputs {', '.join(names)}; output image")
