"""How near the generated pictures are to the real ones as a whole: FID and KID, in any network's features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dp2.metrics.features import FeatureNet
from dp2.metrics.gaussian import Moments, distance_of
from dp2.metrics.kernel import kernel_distance
from dp2.metrics.metric import Result, Run, View

_FEW = 2048


class FrechetDistance:
    """FID (Heusel et al., NeurIPS 2017), FID-CLIP or, with a stand-in net, something like it.

    Args:
        net: makes the features.
    """

    draws = 1

    def __init__(self, *, net: FeatureNet) -> None:
        self._net = net
        self._real, self._fake = Moments(), Moments()
        self._known = False
        self._run: Run | None = None

    def start(self, run: Run) -> None:
        """See `dp2.metrics.metric.Metric`."""
        kept = run.cache.load("moments", run.data, self._net.name)
        self._known = kept is not None
        self._real = Moments() if kept is None else Moments.restored(kept)
        self._fake = Moments()
        self._run = run

    def update(self, view: View) -> None:
        """See `dp2.metrics.metric.Metric`."""
        self._fake.update(view.features(self._net, 0))
        if not self._known:
            self._real.update(view.features(self._net))

    def results(self) -> list[Result]:
        """See `dp2.metrics.metric.Metric`."""
        name = f"FID{self._net.suffix}"
        if min(self._real.count, self._fake.count) < 2:
            return [Result(name, math.nan, "lower", self._net.name, self._fake.count, "needs two pictures or more")]
        self._keep()
        note = "" if self._fake.count >= _FEW else f"of fewer than {_FEW} pictures: far too high, only for comparisons"
        return [Result(name, distance_of(self._real, self._fake), "lower", self._net.name, self._fake.count, note)]

    def _keep(self) -> None:
        whole = self._run is not None and self._real.count == self._run.count
        if self._run is not None and whole and not self._known:
            self._run.cache.store(self._real.state(), "moments", self._run.data, self._net.name)


class KernelDistance:
    """KID (Bińkowski et al., ICLR 2018) × 1000; unlike FID it is not biased by few pictures.

    Args:
        net: makes the features.
        subsets, size: see `dp2.metrics.kernel.kernel_distance`.
        most: pictures of which features are kept, the first ones.
    """

    draws = 1

    def __init__(self, *, net: FeatureNet, subsets: int = 100, size: int = 1000, most: int = 10_000) -> None:
        self._net = net
        self._subsets, self._size, self._most = subsets, size, most
        self._real: list[Tensor] = []
        self._fake: list[Tensor] = []
        self._known = False
        self._run: Run | None = None

    def start(self, run: Run) -> None:
        """See `dp2.metrics.metric.Metric`."""
        kept = run.cache.load("features", run.data, self._net.name, str(self._most))
        self._known = kept is not None
        self._real = [] if kept is None else [kept["features"]]
        self._fake = []
        self._run = run

    def update(self, view: View) -> None:
        """See `dp2.metrics.metric.Metric`."""
        room = self._most - sum(len(part) for part in self._fake)
        if room <= 0:
            return
        self._fake.append(view.features(self._net, 0)[:room])
        if not self._known:
            self._real.append(view.features(self._net)[:room])

    def results(self) -> list[Result]:
        """See `dp2.metrics.metric.Metric`."""
        name, count = f"KID{self._net.suffix} ×1000", sum(len(part) for part in self._fake)
        if count < 2 or self._run is None:
            return [Result(name, math.nan, "lower", self._net.name, count, "needs two pictures or more")]
        real, fake = torch.cat(self._real), torch.cat(self._fake)
        if not self._known and len(real) == min(self._run.count, self._most):
            key = "features", self._run.data, self._net.name, str(self._most)
            self._run.cache.store({"features": real}, *key)
        sides = real.double().numpy(), fake.double().numpy()
        mean, spread = kernel_distance(*sides, subsets=self._subsets, size=self._size, seed=self._run.seed)
        note = f"standard deviation over {self._subsets} subsets: {1000 * spread:.3g}" if spread else ""
        return [Result(name, 1000 * mean, "lower", self._net.name, count, note)]
