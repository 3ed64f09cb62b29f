"""What one step of training does: its phases, each a loss for some networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dp2.data.batch import Batch


@dataclass(frozen=True, slots=True)
class Losses:
    """What a phase gives for one (micro-)batch.

    Attributes:
        total: () differentiable: what the networks of the phase are to lower.
        numbers: () tensors for the log, by name.
    """

    total: Tensor
    numbers: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Phase:
    """One update within a step.

    Attributes:
        name: e.g. "discriminator", "r1", "generator", "path_length".
        trains: names of the networks that are updated; the others are frozen meanwhile.
        losses: from a batch and a seeded source of chance.
        twice: the loss is made of a gradient, so that networks are differentiated twice, which compiled ones cannot be.
    """

    name: str
    trains: tuple[str, ...]
    losses: Callable[[Batch, torch.Generator], Losses]
    twice: bool = False


class Objective(Protocol):
    """Turns batches into losses. It holds the networks, no optimizer: the loop updates them."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """By name: all that are trained. "generator" is among them, and what is averaged and shipped."""

    def phases(self, step: int) -> Sequence[Phase]:
        """Of this step, in order (lazy regularisation comes every so many steps)."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers beside the networks' own that the next step depends on."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


@runtime_checkable
class Paints(Protocol):
    """An objective whose generators are shown on sheets in a way of their own."""

    def paint(self, generator: nn.Module, batch: Batch, chance: torch.Generator) -> Tensor:
        """(N, 3, H, W) in about [-1, 1]: holes filled by a generator like its own, with latents drawn from `chance`."""
