"""`dp2 validate`: measure a generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dp2.cli.command import GroupedCommand, option

if TYPE_CHECKING:
    from dp2.metrics.metric import Result

_WHAT, _HOW, _OUTPUT = "What to measure", "How", "Output"


@click.command(cls=GroupedCommand, extra="metrics")
@click.argument("config")
@option(_WHAT, "--metrics", "names", help="Names, separated by commas; see --list.  [default: the usual ones]")
@option(_WHAT, "--metrics-config", default="metrics/default", show_default=True, help="Config that defines them.")
@option(_WHAT, "--checkpoint", help="In place of the config's weights: name, file, or a step-… folder of a run.")
@option(_WHAT, "--limit", type=click.IntRange(min=1), help="Only so many samples, spread evenly over the data.")
@option(_WHAT, "--truncation", type=click.FloatRange(0, 1), help="Of styles; 0 = the average.  [default: as drawn]")
@option(_WHAT, "--list", "listed", is_flag=True, help="List the metrics and exit.")
@option(_HOW, "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@option(_HOW, "--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Pictures at a time.")
@option(_HOW, "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that load data.")
@option(_HOW, "--seed", type=int, default=0, show_default=True, help="Of latents and of all other chance.")
@option(_HOW, "--no-cache", is_flag=True, help="Neither use nor keep what was measured on the real pictures.")
@option(_OUTPUT, "-o", "--output-path", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here, too.")
@option(_OUTPUT, "--overwrite", is_flag=True, help="Replace an existing output.")
def validate(
    config: str,
    names: str | None,
    metrics_config: str,
    checkpoint: str | None,
    limit: int | None,
    truncation: float | None,
    listed: bool,
    device: str,
    batch_size: int,
    workers: int,
    seed: int,
    no_cache: bool,
    output_path: Path | None,
    overwrite: bool,
) -> None:
    """Measure the generator of CONFIG on its validation data.

    What depends on the real pictures alone is kept in FBA_METRICS_CACHE, or in DP2_HOME/metrics.
    """
    if listed:
        _list(metrics_config)
        return
    from rich.console import Console
    from rich.progress import Progress

    from dp2.cli.pace import Pace
    from dp2.metrics.cache import Cache
    from dp2.metrics.evaluate import Settings, evaluate
    from dp2.metrics.setup import chosen_metrics, subject
    from dp2.sink.atomic import check_free

    if output_path is not None:
        check_free(output_path, overwrite=overwrite)
    wanted = [name.strip() for name in (names or "").split(",") if name.strip()]
    metrics = chosen_metrics(metrics_config, wanted, device=device)
    measured = subject(config, checkpoint=checkpoint, device=device, seed=seed, truncation=truncation)
    cache = Cache(None) if no_cache else Cache()
    settings = Settings(batch_size=batch_size, limit=limit, seed=seed, workers=workers, cache=cache)
    console, pace = Console(stderr=True), Pace("measuring", "samples")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("samples", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            pace.count = done
            if not console.is_terminal and (line := pace.line(total)) is not None:
                click.echo(line, err=True)

        results = evaluate(
            measured.dataset,
            measured.painter,
            metrics,
            settings,
            described=measured.described,
            progress=progress,
        )
    _table(results)
    if output_path is not None:
        _write(
            {
                "config": config,
                "checkpoint": str(measured.checkpoint),
                "samples": len(measured.dataset) if limit is None else min(limit, len(measured.dataset)),
                "seed": seed,
                "truncation": truncation,
                "results": [result.as_dict() for result in results],
            },
            output_path,
            overwrite=overwrite,
        )


def _list(config: str) -> None:
    from dp2.config import load_config

    tree = load_config(config)
    usual = list(tree.get("usual") or ())
    for name in tree.get("metrics") or ():
        click.echo(f"{name}{'  (usual)' if name in usual else ''}")


def _table(results: list[Result]) -> None:
    width = max((len(result.name) for result in results), default=0)
    for result in results:
        better = f"{result.better} is better" if result.better else ""
        rest = [f"n = {result.count}", better, result.net, result.note]
        click.echo(f"{result.name:{width}}  {result.value:10.4g}  {'; '.join(text for text in rest if text)}")


def _write(content: dict[str, object], path: Path, *, overwrite: bool) -> None:
    import json

    from dp2.sink.atomic import atomic_path

    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
