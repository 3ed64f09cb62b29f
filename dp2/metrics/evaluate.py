"""Measures a generator: every sample once, painted once for each draw, seen by every metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dp2.data.batch import Dataset
from dp2.data.loader import Loading, validation_batches
from dp2.errors import DatasetError
from dp2.inference.device import whole_float32
from dp2.metrics.cache import Cache, data_key
from dp2.metrics.metric import Metric, Result, Run, View
from dp2.metrics.painter import Painter

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Settings:
    """Of one measurement.

    Attributes:
        batch_size: pictures at a time; changes no result but rounding.
        limit: only so many samples, spread evenly; None = all.
        seed: of latents, of chance in the data and in metrics.
        workers: processes that load the data.
        cache: for what depends on the real pictures alone.
    """

    batch_size: int = 16
    limit: int | None = None
    seed: int = 0
    workers: int = 0
    cache: Cache = field(default_factory=lambda: Cache(None))


@whole_float32()  # PPL divides tiny differences by 1e-8
def evaluate(
    dataset: Dataset,
    painter: Painter,
    metrics: Mapping[str, Metric],
    settings: Settings,
    *,
    described: str = "",
    progress: Progress = lambda done, total: None,  # noqa: ARG005
) -> list[Result]:
    """Paint a dataset's holes and measure.

    Args:
        dataset: for validation.
        painter: the generator.
        metrics: by name.
        settings: how.
        described: the dataset's node of the config, a part of the cache's key.
        progress: told (samples done, samples in all).

    Returns:
        of all metrics, in their order.

    Raises:
        DatasetError: the dataset is empty, its files are missing or damaged.
        TrainingError: the generator needs what the data lacks, or gives values that are not finite.
    """
    count = len(dataset) if settings.limit is None else min(settings.limit, len(dataset))
    if count == 0:
        raise DatasetError("there is nothing to measure on: the dataset, or the limit, is 0.")
    key = data_key(dataset, described, count=count, seed=settings.seed) if settings.cache.folder else ""
    run = Run(key, count, settings.seed, settings.cache)
    for metric in metrics.values():
        metric.start(run)
    draws = max((metric.draws for metric in metrics.values()), default=1)
    loading = Loading(workers=settings.workers, pin=False)
    done = 0
    progress(done, count)
    for batch in validation_batches(
        dataset, batch_size=settings.batch_size, seed=settings.seed, limit=settings.limit, loading=loading
    ):
        indices = range(done, done + len(batch))
        view = View(batch, indices, [painter.draw(batch, indices, draw) for draw in range(draws)], painter)
        for metric in metrics.values():
            metric.update(view)
        done += len(batch)
        progress(done, count)
    return [result for metric in metrics.values() for result in metric.results()]
