"""How different two pictures look: to the original, between latents, along a path of latents."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dp2.inference.lazy_network import LazyNetwork
from dp2.metrics.features import SeededConvolutions
from dp2.metrics.metric import Result, Run, View

if TYPE_CHECKING:
    from pathlib import Path

    from dp2.models.lpips import Lpips as Network


class PerceptualNet(Protocol):
    """Pairs of pictures to distances."""

    @property
    def name(self) -> str:
        """Of network and weights, for reports."""

    @property
    def suffix(self) -> str:
        """Behind the name of a metric: "" = as published, "-like" = a stand-in."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, 3, H, W) float32 RGB in [-1, 1], twice, to (N,) float32 ≥ 0; equal pictures to 0."""


class Lpips:
    """LPIPS 0.1 on VGG-16.

    Args:
        device: "auto", "cpu", "cuda", …
        backbone, linear: names in the registry, or files.

    Raises:
        MissingWeights: a checkpoint is not on this machine.
    """

    suffix = ""

    def __init__(
        self, *, device: str = "auto", backbone: str = "torchvision/vgg16", linear: str = "lpips/vgg16"
    ) -> None:
        from dp2.weights.store import Store

        weights = Store().path(linear)
        self._network: LazyNetwork[Network] = LazyNetwork(backbone, device, lambda *given: _load(weights, *given))
        self.name = f"LPIPS 0.1 on VGG-16 ({backbone}, {linear})"

    @torch.inference_mode()
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """See `PerceptualNet`."""
        network, device = self._network.get()
        distance: Tensor = network(a.to(device), b.to(device))
        return distance.cpu()


class SeededDistance:
    """A stand-in for LPIPS that needs no weights: distance between maps of `SeededConvolutions`.

    Args:
        device, seed: as there.
    """

    suffix = "-like"

    def __init__(self, *, device: str = "cpu", seed: int = 0) -> None:
        self._net = SeededConvolutions(device=device, seed=seed)
        self.name = self._net.name

    @torch.inference_mode()
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """See `PerceptualNet`."""
        pairs = zip(self._net.maps(a), self._net.maps(b), strict=True)
        gaps = [(F.normalize(one) - F.normalize(other)).square().sum(dim=1).mean(dim=(1, 2)) for one, other in pairs]
        return torch.stack(gaps).mean(dim=0).cpu()


class PerceptualDistance:
    """LPIPS between original and generated picture."""

    draws = 1

    def __init__(self, *, net: PerceptualNet) -> None:
        self._net = net
        self._found: list[float] = []

    def start(self, run: Run) -> None:  # noqa: ARG002  (see `Metric`)
        """See `dp2.metrics.metric.Metric`."""
        self._found = []

    def update(self, view: View) -> None:
        """See `dp2.metrics.metric.Metric`."""
        self._found += self._net(view.batch.real, _scaled(view.fakes[0])).tolist()

    def results(self) -> list[Result]:
        """See `dp2.metrics.metric.Metric`."""
        return [_mean(f"LPIPS{self._net.suffix}", self._found, "lower", self._net.name)]


class Diversity:
    """Mean distance between what different latents make of the same hole.

    Args:
        net: the distance.
        draws: latents of each sample; every pair of them counts.
    """

    def __init__(self, *, net: PerceptualNet, draws: int = 2) -> None:
        self._net = net
        self.draws = draws
        self._found: list[float] = []

    def start(self, run: Run) -> None:  # noqa: ARG002
        """See `dp2.metrics.metric.Metric`."""
        self._found = []

    def update(self, view: View) -> None:
        """See `dp2.metrics.metric.Metric`."""
        for one, other in itertools.combinations(view.fakes[: self.draws], 2):
            self._found += self._net(_scaled(one), _scaled(other)).tolist()

    def results(self) -> list[Result]:
        """See `dp2.metrics.metric.Metric`."""
        return [_mean(f"LPIPS{self._net.suffix} diversity", self._found, "higher", self._net.name)]


class PathLength:
    """PPL: how fast the picture changes along a straight line between two styles.

    Source: Karras et al., "A Style-Based Generator Architecture" (CVPR 2019), section 4.1, equation 3, the full path in
    W; the lowest and the highest percent are left out, as there.

    Args:
        net: the distance.
        step: ε of the paper.
        most: samples that it is measured on, the first ones.
    """

    draws = 1

    def __init__(self, *, net: PerceptualNet, step: float = 1e-4, most: int = 10_000) -> None:
        self._net = net
        self._step = step
        self._most = most
        self._found: list[float] = []
        self._seed = 0

    def start(self, run: Run) -> None:
        """See `dp2.metrics.metric.Metric`."""
        self._found = []
        self._seed = run.seed

    def update(self, view: View) -> None:
        """See `dp2.metrics.metric.Metric`."""
        if len(self._found) >= self._most:
            return
        painter = view.painter
        start, end = (painter.styles(painter.latents(view.indices, draw), painter.truncation) for draw in (0, 1))
        place = [np.random.RandomState([self._seed, index]).uniform() for index in view.indices]
        where = torch.tensor(place, dtype=torch.float32, device=start.device)[:, None]
        here, there = (painter.paint(view.batch, start.lerp(end, at)) for at in (where, where + self._step))
        self._found += (self._net(here, there) / self._step**2).tolist()

    def results(self) -> list[Result]:
        """See `dp2.metrics.metric.Metric`."""
        found = np.array(self._found[: self._most])
        if len(found):
            low, high = np.percentile(found, 1, method="lower"), np.percentile(found, 99, method="higher")
            found = found[(found >= low) & (found <= high)]
        return [_mean(f"PPL{self._net.suffix}", found.tolist(), "lower", self._net.name)]


def _scaled(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def _mean(name: str, found: list[float], better: str, net: str) -> Result:
    if not found:
        return Result(name, math.nan, better, net, 0, "no pictures")
    return Result(name, float(np.mean(found)), better, net, len(found))


def _load(linear: Path, backbone: Path, device: torch.device) -> Network:
    from dp2.models.lpips import Lpips as Network
    from dp2.weights.loading import load_checkpoint, load_strict, network_state

    weights = network_state(load_checkpoint(linear), str(linear))
    state = {key.partition(".")[0]: value for key, value in weights.items()}
    state |= network_state(load_checkpoint(backbone), str(backbone))
    network = Network()
    load_strict(network, state, ("classifier.*",), f"{backbone} with {linear.name}")
    network.eval().requires_grad_(False)
    return network.to(device)
