"""From a dataset to batches: the same ones in the same order with any number of worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from dp2.data.batch import Batch, Dataset, collate
from dp2.data.sampler import SampleOrder, endless_positions, finite_positions, sample_rng
from dp2.errors import DatasetError

_CONTEXT = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_Row = tuple[int, int]  # place in the run, number of the sample


@runtime_checkable
class Weighted(Protocol):
    """A dataset some samples of which are to be seen more often."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """(len(dataset),) not negative, relative to each other."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How batches are loaded; none of it changes what is in them.

    Attributes:
        workers: processes that load; 0 = this one.
        rank, world: of several training processes, which one this is; each loads its rows of every batch.
        prefetch: batches that each worker holds ready.
        pin: put batches into page-locked memory; None = where there is CUDA.
    """

    workers: int = 0
    rank: int = 0
    world: int = 1
    prefetch: int = 2
    pin: bool | None = None


def training_batches(
    dataset: Dataset, *, batch_size: int, seed: int, start: int = 0, loading: Loading | None = None
) -> Iterator[Batch]:
    """Batches without end, shuffled anew in every epoch (batches do not heed where one ends).

    Args:
        dataset: its `weights`, if it has any, say how often each sample comes (see `Weighted`).
        batch_size: over all processes together; a multiple of `loading.world`.
        seed: decides order and augmentation.
        start: samples seen before, over all processes together: the stream goes on exactly there.
        loading: how.

    Yields:
        this process's rows of each batch: batch_size / world samples.

    Raises:
        DatasetError: the dataset is empty, its files are missing or damaged, or a worker died.
    """
    loading = loading or Loading()
    order = SampleOrder(len(dataset), seed, dataset.weights if isinstance(dataset, Weighted) else None)
    positions = endless_positions(start, batch_size, loading.rank, loading.world)
    rows = ([(position, order[position]) for position in batch] for batch in positions)
    return _load(_Rows(dataset, seed), rows, loading)


def validation_batches(
    dataset: Dataset, *, batch_size: int, seed: int = 0, limit: int | None = None, loading: Loading | None = None
) -> Iterator[Batch]:
    """Every sample once, in order; the last batch may be short.

    Args:
        dataset: what to go through.
        batch_size: over all processes together.
        seed: decides what chance there is in samples.
        limit: only so many samples, spread evenly over the dataset.
        loading: how. The processes' rows, put together batch by batch in order of rank, are the samples in order.

    Raises:
        DatasetError: files are missing or damaged, or a worker died.
    """
    loading = loading or Loading()
    count = len(dataset) if limit is None else min(limit, len(dataset))
    positions = finite_positions(count, batch_size, loading.rank, loading.world)
    rows = ([(place, place * len(dataset) // count) for place in batch] for batch in positions)
    return _load(_Rows(dataset, seed), rows, loading)


class _Rows:
    """What a worker does: rows to a batch. An error comes back as a value, so that its words survive the process."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._dataset = dataset
        self._seed = seed

    def __getitem__(self, rows: Sequence[_Row]) -> Batch | DatasetError:
        try:
            samples = [self._dataset.sample(index, sample_rng(self._seed, position)) for position, index in rows]
            return collate(samples)
        except DatasetError as error:
            return error


def _load(dataset: _Rows, rows: Iterable[Sequence[_Row]], loading: Loading) -> Iterator[Batch]:
    source: Any = dataset
    order: Any = rows
    loader: DataLoader[Any] = DataLoader(
        source,
        batch_size=None,  # each entry of the sampler is a whole batch
        sampler=order,
        num_workers=loading.workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available() if loading.pin is None else loading.pin,
        prefetch_factor=loading.prefetch if loading.workers else None,
        worker_init_fn=_calm_worker,
        # Not "fork": engines that this process has used (OpenVINO, OpenMP) have threads, which do not survive it.
        multiprocessing_context=_CONTEXT if loading.workers else None,
    )
    return _raised(loader)


def _raised(loader: Iterable[Batch | DatasetError]) -> Iterator[Batch]:
    try:
        for batch in loader:
            if isinstance(batch, DatasetError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DatasetError(f"a process that loads training data died ({error}); try fewer workers.") from error


def _as_it_is(batch: Any) -> Any:
    return batch


def _calm_worker(_: int) -> None:
    """One thread each: the workers together already fill the machine. Signals that end a run are often sent to all of
    its processes; the run still needs its workers until its step is done, and ends them itself."""
    import signal

    import cv2

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
