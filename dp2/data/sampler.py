"""Which sample comes when: a pure function of the seed, the place in the run, and the size of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dp2.errors import DatasetError

_ORDER, _SAMPLE = 0, 1  # apart from each other: the order never repeats the chance of a sample
_SHUFFLED_WHOLE = 1 << 22
_BLOCK = 1 << 16


class SampleOrder:
    """The endless order of training: the n-th entry is the number of a sample.

    Without weights every epoch is a fresh permutation. With weights an epoch has as many entries as the dataset, and
    each sample comes as often as its share says, rounded up or down by chance (systematic resampling), in random order.
    Sets of more than 4 million samples are shuffled in blocks of 65 536, then within each block.

    Args:
        length: number of samples.
        seed: decides every order, not negative.
        weights: one a sample, none negative, relative to each other; None = all equal.

    Raises:
        DatasetError: there is no sample, or the weights do not fit.
    """

    def __init__(self, length: int, seed: int, weights: Sequence[float] | NDArray[np.floating] | None = None) -> None:
        if length < 1:
            raise DatasetError("the dataset holds no sample; there is nothing to train on.")
        self.length = length
        self.seed = seed
        self._shares = None if weights is None else _shares(np.asarray(weights, np.float64), length)
        self._epoch = -1
        self._entries: NDArray[np.int64] = np.empty(0, np.int64)

    def __getitem__(self, position: int) -> int:
        """The sample at a place in the run, counted from 0."""
        epoch, place = divmod(position, self.length)
        if epoch != self._epoch:
            self._entries, self._epoch = self.epoch(epoch), epoch
        return int(self._entries[place])

    def epoch(self, number: int) -> NDArray[np.int64]:
        """(length,) the samples of one epoch in order."""
        rng = np.random.default_rng((self.seed, _ORDER, number))
        if self._shares is not None:
            steps = (np.arange(self.length) + rng.random()) / self.length
            drawn = np.searchsorted(self._shares, steps, side="right")
            return rng.permutation(np.minimum(drawn, self.length - 1)).astype(np.int64)
        if self.length <= _SHUFFLED_WHOLE:
            return rng.permutation(self.length)
        starts = rng.permutation(np.arange(0, self.length, _BLOCK))
        return np.concatenate([start + rng.permutation(min(_BLOCK, self.length - start)) for start in starts])


def sample_rng(seed: int, position: int) -> np.random.Generator:
    """The source of chance of the sample at a place in the run, whichever process loads it."""
    return np.random.default_rng((seed, _SAMPLE, position))


def rank_rows(batch_size: int, rank: int, world: int) -> range:
    """Which rows of every global batch a process loads.

    Raises:
        DatasetError: the batch cannot be shared evenly.
    """
    if batch_size < 1 or world < 1 or not 0 <= rank < world or batch_size % world:
        raise DatasetError(
            f"a batch of {batch_size} cannot be shared by {world} processes; choose a multiple of {world}."
        )
    share = batch_size // world
    return range(rank * share, (rank + 1) * share)


def endless_positions(start: int, batch_size: int, rank: int, world: int) -> Iterator[list[int]]:
    """The places in the run that a process loads, batch by batch, from the place `start` on."""
    rows = rank_rows(batch_size, rank, world)
    while True:
        yield [start + row for row in rows]
        start += batch_size


def finite_positions(length: int, batch_size: int, rank: int, world: int) -> Iterator[list[int]]:
    """As `endless_positions`, once through 0 to length - 1; the last batch may be short."""
    rows = rank_rows(batch_size, rank, world)
    for start in range(0, length, batch_size):
        batch = [start + row for row in rows if start + row < length]
        if batch:
            yield batch


def _shares(weights: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """(length,) running sums of the weights, ending in 1."""
    if weights.shape != (length,):
        raise DatasetError(f"{length} samples need as many weights, not an array of shape {weights.shape}.")
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise DatasetError("weights must be finite, not negative, and not all zero.")
    shares: NDArray[np.float64] = np.cumsum(weights)
    shares /= shares[-1]
    return shares
