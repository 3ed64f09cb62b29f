"""Fréchet and kernel distances against closed forms and other people's code."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.metrics.gaussian import Moments, distance_of, frechet_distance
from dp2.metrics.kernel import kernel_distance, squared_mmd

seeds = st.integers(0, 2**32 - 1)


def spd(rng: np.random.RandomState, size: int, rank: int | None = None) -> np.ndarray:
    root = rng.normal(size=(size, rank or size))
    return root @ root.T


@given(seeds, st.integers(1, 12))
def test_commuting_gaussians_have_a_closed_form(seed: int, size: int) -> None:
    """With shared axes the distance is |Δμ|² + Σ(σ - τ)²."""
    rng = np.random.RandomState(seed)
    axes = np.linalg.qr(rng.normal(size=(size, size)))[0]
    a, b = rng.uniform(0, 4, (2, size))
    gap = rng.normal(size=size)
    found = frechet_distance(gap, axes * a**2 @ axes.T, np.zeros(size), axes * b**2 @ axes.T)
    assert found == pytest.approx(gap @ gap + np.square(a - b).sum(), rel=1e-7, abs=1e-6)


@given(seeds)
@settings(max_examples=25)
def test_equals_scipys_matrix_root(seed: int) -> None:
    rng = np.random.RandomState(seed)
    a, b = spd(rng, 6), spd(rng, 6)
    means = rng.normal(size=(2, 6))
    root = scipy.linalg.sqrtm(a @ b).real
    expected = np.square(means[0] - means[1]).sum() + np.trace(a + b - 2 * root)
    assert frechet_distance(means[0], a, means[1], b) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(seeds)
@settings(max_examples=25)
def test_is_symmetric_nought_for_itself_and_blind_to_rotation(seed: int) -> None:
    rng = np.random.RandomState(seed)
    a, b = spd(rng, 5, rank=3), spd(rng, 5)  # one has no volume, as with fewer pictures than features
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    zero, mean = np.zeros(5), rng.normal(size=5)
    found = frechet_distance(zero, a, mean, b)
    assert frechet_distance(mean, b, zero, a) == pytest.approx(found, rel=1e-6)
    assert frechet_distance(zero, turn @ a @ turn.T, turn @ mean, turn @ b @ turn.T) == pytest.approx(found, rel=1e-6)
    assert frechet_distance(mean, a, mean, a) == pytest.approx(0, abs=1e-5)


@given(seeds, st.lists(st.integers(0, 9), min_size=1, max_size=6), st.floats(-1e6, 1e6))
@settings(max_examples=40)
def test_moments_do_not_depend_on_the_batches(seed: int, sizes: list[int], shift: float) -> None:
    rng = np.random.RandomState(seed)
    rows = rng.normal(size=(sum(sizes) + 2, 3)) + shift
    moments = Moments()
    for part in np.split(rows, np.cumsum(sizes)):
        moments.update(torch.from_numpy(part))
    assert moments.count == len(rows)
    assert np.allclose(moments.mean, rows.mean(0), rtol=1e-12)
    assert np.allclose(moments.covariance, np.cov(rows, rowvar=False), atol=1e-8)
    again = Moments.restored(moments.state())
    assert distance_of(again, moments) == pytest.approx(0, abs=1e-6)


def test_equals_torch_fidelity() -> None:
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    rng = np.random.RandomState(3)
    sides = rng.normal(size=(300, 8)), rng.normal(size=(300, 8)) * 1.3 + 0.2
    a, b = Moments(), Moments()
    a.update(torch.from_numpy(sides[0]))
    b.update(torch.from_numpy(sides[1]))
    theirs = [fid.fid_features_to_statistics(torch.from_numpy(side)) for side in sides]
    peer = fid.fid_statistics_to_metric(*theirs, verbose=False)["frechet_inception_distance"]
    assert distance_of(a, b) == pytest.approx(peer, rel=1e-9)
    kernels = [(x @ y.T / 8 + 1) ** 3 for x, y in ((sides[0],) * 2, sides, (sides[1],) * 2)]
    assert squared_mmd(*sides) == pytest.approx(kid.mmd2(*kernels), rel=1e-9)


def test_the_kernel_distance_of_gaussians_is_the_known_one() -> None:
    """E k(x, y) of independent N(m, 1) and N(n, 1) in one dimension, k = (xy + 1)³, from their moments."""
    shift = 0.7

    def expected(m: float, n: float) -> float:
        moments = [(1, c, c**2 + 1, c**3 + 3 * c) for c in (m, n)]
        return sum(weight * x * y for weight, x, y in zip((1, 3, 3, 1), *moments, strict=True))

    known = expected(0, 0) + expected(shift, shift) - 2 * expected(0, shift)
    rng = np.random.RandomState(0)
    found = [squared_mmd(rng.normal(size=(60, 1)), rng.normal(size=(60, 1)) + shift) for _ in range(1000)]
    assert abs(np.mean(found) - known) < 3 * np.std(found) / np.sqrt(len(found))
    assert np.std(found) / np.sqrt(len(found)) < 0.1 * known


def test_the_kernel_distance_is_not_biased_by_few_pictures() -> None:
    rng = np.random.RandomState(1)
    few = [squared_mmd(rng.normal(size=(8, 3)), rng.normal(size=(8, 3))) for _ in range(3000)]
    assert abs(np.mean(few)) < 4 * np.std(few) / np.sqrt(len(few))


def test_subsets_depend_on_the_seed_alone() -> None:
    rng = np.random.RandomState(2)
    sides = rng.normal(size=(50, 4)), rng.normal(size=(40, 4))
    first = kernel_distance(*sides, subsets=5, size=20, seed=1)
    assert first == kernel_distance(*sides, subsets=5, size=20, seed=1)
    assert first != kernel_distance(*sides, subsets=5, size=20, seed=2)


def test_one_picture_is_too_few() -> None:
    with pytest.raises(ValueError, match="two"):
        squared_mmd(np.zeros((1, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="two"):
        _ = Moments().covariance
