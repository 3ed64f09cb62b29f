"""The Fréchet distance between Gaussians, and their estimate from features that come in batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Moments:
    """Mean and covariance of vectors, in double precision, without keeping the vectors.

    Batches are merged pairwise as in Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances" (1979), so that a large mean costs no digits.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._scatter: Tensor | None = None

    def update(self, features: Tensor) -> None:
        """Take (N, C) in."""
        rows = features.detach().to("cpu", torch.float64)
        if len(rows) == 0:
            return
        mean = rows.mean(dim=0)
        centred = rows - mean
        scatter = centred.T @ centred
        if self._mean is None or self._scatter is None:
            self._mean, self._scatter = mean, scatter
        else:
            gap = mean - self._mean
            total = self.count + len(rows)
            self._scatter += scatter + torch.outer(gap, gap) * (self.count * len(rows) / total)
            self._mean = self._mean + gap * (len(rows) / total)
        self.count += len(rows)

    @property
    def mean(self) -> Tensor:
        """(C,) float64.

        Raises:
            ValueError: nothing was taken in.
        """
        if self._mean is None:
            raise ValueError("no features were taken in")
        return self._mean

    @property
    def covariance(self) -> Tensor:
        """(C, C) float64, divided by count - 1.

        Raises:
            ValueError: fewer than two vectors were taken in.
        """
        if self._scatter is None or self.count < 2:
            raise ValueError("a covariance needs two vectors or more")
        return self._scatter / (self.count - 1)

    def state(self) -> dict[str, Tensor]:
        """To be kept."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "covariance": self.covariance}

    @classmethod
    def restored(cls, state: Mapping[str, Tensor]) -> Moments:
        """From what `state` gave."""
        made = cls()
        made.count = int(state["count"])
        made._mean = state["mean"]
        made._scatter = state["covariance"] * (made.count - 1)
        return made


def frechet_distance(
    mean_a: NDArray[np.float64], cov_a: NDArray[np.float64], mean_b: NDArray[np.float64], cov_b: NDArray[np.float64]
) -> float:
    """Squared Fréchet (2-Wasserstein) distance between two Gaussians.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal distributions" (1982), equation 4. The
    trace of (cov_a cov_b)^½ is taken from the symmetric cov_a^½ cov_b cov_a^½, whose eigenvalues are the same but real.

    Args:
        mean_a, mean_b: (C,).
        cov_a, cov_b: (C, C), symmetric, no negative eigenvalues.

    Returns:
        ≥ 0.
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = root @ cov_b @ root
    cross = np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0, None)).sum()
    gap = mean_a - mean_b
    return max(float(gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2 * cross), 0.0)


def distance_of(a: Moments, b: Moments) -> float:
    """`frechet_distance` of two estimates.

    Raises:
        ValueError: either is of fewer than two vectors.
    """
    return frechet_distance(a.mean.numpy(), a.covariance.numpy(), b.mean.numpy(), b.covariance.numpy())
