"""The nouns of measuring: what a metric sees, what it says, and what every metric promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from dp2.data.batch import Batch
from dp2.metrics.cache import Cache
from dp2.metrics.features import FeatureNet
from dp2.metrics.painter import Painter


@dataclass(frozen=True, slots=True)
class Result:
    """One number.

    Attributes:
        name: e.g. "FID"; a name that published numbers have is only given where their network was used.
        value: not finite where it could not be measured; `note` says why.
        better: "lower", "higher", or "" where neither is.
        net: the network that it depends on, with its weights; "" = none.
        count: pictures, or pairs of them, that it is of.
        note: what a reader has to know beside it.
    """

    name: str
    value: float
    better: str = ""
    net: str = ""
    count: int = 0
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it; a value that is not finite is None."""
        known = asdict(self)
        known["value"] = self.value if abs(self.value) < float("inf") else None
        return known


@dataclass(frozen=True)
class Run:
    """What is the same for all of one run.

    Attributes:
        data: says which pictures: equal keys, equal pictures.
        count: how many there are.
        seed: of everything that chance decides.
        cache: for what depends on the real pictures alone.
    """

    data: str
    count: int
    seed: int
    cache: Cache


@dataclass(frozen=True, eq=False)
class View:
    """A batch and what the generator made of it.

    Attributes:
        batch: on the CPU.
        indices: the number of each sample in the run.
        fakes: (N, 3, H, W) uint8 RGB for each draw of latents, on the CPU; outside the holes as the originals.
        painter: to draw more.
    """

    batch: Batch
    indices: Sequence[int]
    fakes: Sequence[Tensor]
    painter: Painter
    _known: dict[tuple[str, int], Tensor] = field(default_factory=dict, repr=False)

    def features(self, net: FeatureNet, draw: int | None = None) -> Tensor:
        """(N, C) float32 of a draw, or of the originals (None). Metrics with the same net share them."""
        key = net.name, -1 if draw is None else draw
        if key not in self._known:
            images = self.batch.image if draw is None else self.fakes[draw]
            with torch.inference_mode():
                self._known[key] = net(images).float().cpu()
        return self._known[key]


class Metric(Protocol):
    """Adds up over batches. One object serves one run at a time."""

    @property
    def draws(self) -> int:
        """How many latents of each sample it wants painted."""

    def start(self, run: Run) -> None:
        """A new run begins; whatever was added up is forgotten."""

    def update(self, view: View) -> None:
        """Take a batch in."""

    def results(self) -> Sequence[Result]:
        """Of all batches so far."""
