"""The kernel distance between two sets of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def squared_mmd(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy with the kernel (x·y / C + 1)³; may be below 0.

    Sources: Gretton et al., "A Kernel Two-Sample Test" (JMLR 2012), lemma 6; the kernel is that of Bińkowski et al.,
    "Demystifying MMD GANs" (ICLR 2018).

    Args:
        a: (N, C).
        b: (M, C).

    Raises:
        ValueError: fewer than two vectors on a side.
    """
    if len(a) < 2 or len(b) < 2:
        raise ValueError("a kernel distance needs two vectors or more on each side")
    within = sum(_off_diagonal_mean(_kernel(side, side)) for side in (a, b))
    return float(within - 2 * _kernel(a, b).mean())


def kernel_distance(
    a: NDArray[np.float64], b: NDArray[np.float64], *, subsets: int, size: int, seed: int
) -> tuple[float, float]:
    """Mean and standard deviation of `squared_mmd` over random subsets, as published numbers are made.

    Args:
        a, b: (N, C), (M, C).
        subsets: how many.
        size: vectors of each side in a subset; all where there are fewer.
        seed: of the choice.

    Raises:
        ValueError: fewer than two vectors on a side.
    """
    rng = np.random.RandomState(seed)
    size = min(size, len(a), len(b))
    if size == len(a) == len(b):
        return squared_mmd(a, b), 0.0  # every subset would be the whole
    found = [
        squared_mmd(a[rng.choice(len(a), size, replace=False)], b[rng.choice(len(b), size, replace=False)])
        for _ in range(subsets)
    ]
    return float(np.mean(found)), float(np.std(found))


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (a @ b.T / a.shape[1] + 1) ** 3
    return kernel


def _off_diagonal_mean(kernel: NDArray[np.float64]) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
