"""Order and loading of training samples."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dp2.data.loader import Loading, training_batches, validation_batches
from dp2.data.sampler import SampleOrder
from dp2.errors import DatasetError

sys.path.append(str(Path(__file__).parent))  # worker processes import the datasets by name
from numbered import Numbers, WeightedNumbers


def taken(batches, count: int) -> torch.Tensor:
    return torch.cat([batch.image[:, :2, 0, 0] for batch in islice(batches, count)])


@given(st.integers(1, 300), st.integers(0, 2**40), st.integers(0, 5))
def test_every_epoch_is_a_permutation(length: int, seed: int, epoch: int) -> None:
    entries = SampleOrder(length, seed).epoch(epoch)
    assert sorted(entries.tolist()) == list(range(length))


def test_epochs_and_seeds_differ() -> None:
    orders = [SampleOrder(500, seed).epoch(epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_huge_sets_are_shuffled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dp2.data.sampler._SHUFFLED_WHOLE", 50)
    monkeypatch.setattr("dp2.data.sampler._BLOCK", 16)
    entries = SampleOrder(103, 3).epoch(0)
    assert sorted(entries.tolist()) == list(range(103))
    assert entries.tolist() != list(range(103))


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=40).filter(lambda values: sum(values) > 1e-3), st.integers(0, 99)
)
def test_weights_decide_how_often_a_sample_comes(weights: list[float], seed: int) -> None:
    expected = np.array(weights) / sum(weights) * len(weights)
    counts = np.bincount(SampleOrder(len(weights), seed, weights).epoch(0), minlength=len(weights))
    assert (np.abs(counts - expected) < 1 + 1e-6).all()
    assert (counts[np.array(weights) == 0] == 0).all()


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(DatasetError, match="weights"):
        SampleOrder(2, 0, weights)


@pytest.mark.parametrize("kind", [Numbers, WeightedNumbers])
def test_workers_change_nothing(kind: type[Numbers]) -> None:
    alone = taken(training_batches(kind(23), batch_size=6, seed=1), 9)
    helped = taken(training_batches(kind(23), batch_size=6, seed=1, loading=Loading(workers=2)), 9)
    assert torch.equal(alone, helped)


def test_stream_goes_on_where_it_was_left() -> None:
    whole = taken(training_batches(Numbers(23), batch_size=4, seed=1), 12)
    rest = taken(training_batches(Numbers(23), batch_size=4, seed=1, start=20), 7)
    assert torch.equal(whole[20:], rest)


def test_processes_share_each_batch() -> None:
    whole = taken(training_batches(Numbers(50), batch_size=6, seed=2), 4).reshape(4, 6, 2)
    shares = [
        taken(training_batches(Numbers(50), batch_size=6, seed=2, loading=Loading(rank=rank, world=3)), 4)
        for rank in range(3)
    ]
    assert torch.equal(whole, torch.cat([share.reshape(4, 2, 2) for share in shares], 1))


def test_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(DatasetError, match="multiple of 3"):
        next(training_batches(Numbers(5), batch_size=4, seed=0, loading=Loading(world=3)))


@pytest.mark.parametrize("world", [1, 2])
def test_validation_sees_every_sample_once_in_order(world: int) -> None:
    shares = [
        list(validation_batches(Numbers(11), batch_size=4, loading=Loading(rank=rank, world=world)))
        for rank in range(world)
    ]
    seen = [int(row) for step in range(3) for share in shares for row in share[step].image[:, 0, 0, 0] if step < 3]
    assert seen == list(range(11))


def test_validation_limit_is_spread_over_the_set() -> None:
    batch = next(validation_batches(Numbers(100), batch_size=8, limit=5))
    assert batch.image[:, 0, 0, 0].tolist() == [0, 20, 40, 60, 80]


@pytest.mark.parametrize("workers", [0, 2])
def test_words_of_an_error_survive_the_worker(workers: int) -> None:
    with pytest.raises(DatasetError) as caught:
        list(validation_batches(Numbers(8, bad=5), batch_size=2, loading=Loading(workers=workers)))
    assert str(caught.value) == "sample-5.png: is damaged."


def test_empty_set_is_refused() -> None:
    with pytest.raises(DatasetError, match="no sample"):
        next(training_batches(Numbers(0), batch_size=2, seed=0))
