"""How good the averaged generator is, by one number."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class Measure(Protocol):
    """E.g. `dp2.metrics.best.BestBy`, which makes one of any metric.

    Attributes:
        name: for the log.
    """

    @property
    def name(self) -> str:
        """As the log shows it."""

    def __call__(self, generator: nn.Module) -> float:
        """Lower is better."""
