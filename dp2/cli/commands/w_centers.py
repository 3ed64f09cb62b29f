"""`dp2 w-centers`: centres for multi-modal truncation."""

from __future__ import annotations

from pathlib import Path

import click

from dp2.cli.command import GroupedCommand, option

_HOW = "How"


@click.command(cls=GroupedCommand, extra="train")
@click.argument("config")
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@option(_HOW, "--checkpoint", help="In place of the config's weights: name, file, or a step-… folder of a run.")
@option(_HOW, "--clusters", type=click.IntRange(min=1), default=512, show_default=True, help="Centres to make.")
@option(_HOW, "--styles", type=click.IntRange(min=1), default=60_000, show_default=True, help="Styles to cluster.")
@option(_HOW, "--seed", type=int, default=0, show_default=True, help="Of the latents and of the first centres.")
@option("Output", "--overwrite", is_flag=True, help="Replace an existing output.")
def w_centers(
    config: str, output: Path, checkpoint: str | None, clusters: int, styles: int, seed: int, overwrite: bool
) -> None:
    """Cluster styles of the generator of CONFIG; write its weights with the centres as OUTPUT (.safetensors).

    With that file as `weights`, `--multi-modal-truncation` works with the generator.
    """
    from dp2.errors import UsageError
    from dp2.metrics.setup import checkpoint_file
    from dp2.sink.atomic import check_free
    from dp2.synthesize.generators import GeneratorSource
    from dp2.training.w_centers import k_means, random_styles, write_with_centers

    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: the output is a .safetensors file.")
    check_free(output, overwrite=overwrite)
    source = GeneratorSource(config, weights=checkpoint_file(checkpoint))
    centers = k_means(random_styles(source.network(), styles, seed=seed), clusters, seed=seed)
    write_with_centers(source.checkpoint, centers, output, overwrite=overwrite)
    click.echo(f"{output}: {len(centers)} centres of {styles} styles")
