"""All that a step of training changes, and that a resumed run needs again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dp2.training.ema import ExponentialAverage
from dp2.training.objectives.objective import Objective
from dp2.training.optimizers import load_optimizer
from dp2.training.precision import Precision


@dataclass(eq=False)
class State:
    """A run between two steps.

    Attributes:
        objective: holds the networks.
        optimizers: by network.
        average: of the generator.
        step: updates made so far.
        images: pictures seen so far.
        best: least value of the measure by which checkpoints are compared.
        rank: of this process among those of the run.
    """

    objective: Objective
    optimizers: dict[str, torch.optim.Optimizer]
    average: ExponentialAverage
    step: int = 0
    images: int = 0
    best: float | None = None
    rank: int = 0
    _scalers: dict[str, torch.amp.GradScaler] = field(default_factory=dict)
    _trained: dict[str, list[nn.Parameter]] = field(init=False)
    _scaler_states: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        networks = self.objective.networks.items()
        self._trained = {name: [p for p in network.parameters() if p.requires_grad] for name, network in networks}

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """The objective's."""
        return self.objective.networks

    def thaw(self, names: Iterable[str]) -> list[nn.Parameter]:
        """Freeze all but these networks, and return what is trained of them, without gradients."""
        wanted = tuple(names)
        for name, parameters in self._trained.items():
            for parameter in parameters:
                parameter.requires_grad_(name in wanted)
                parameter.grad = None
        return [parameter for name in wanted for parameter in self._trained[name]]

    def scaler(self, phase: str, precision: Precision) -> torch.amp.GradScaler:
        """Of a phase, made at its first use."""
        if phase not in self._scalers:
            scaler = precision.scaler()
            if scaler.is_enabled() and phase in self._scaler_states:
                scaler.load_state_dict(self._scaler_states[phase])
            self._scalers[phase] = scaler
        return self._scalers[phase]

    def tensors(self) -> Iterable[Tensor]:
        """Weights and buffers, the average's included, in a fixed order."""
        for network in (*self.networks.values(), self.average.network):
            yield from network.parameters()
            yield from network.buffers()

    def state_dict(self, objectives: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """Nested dicts and lists of tensors, numbers and texts; the average is not among them.

        Args:
            objectives: states of the objectives of all processes, by rank; None = this one is alone.
        """
        scalers = {name: scaler.state_dict() for name, scaler in self._scalers.items() if scaler.is_enabled()}
        return {
            "step": self.step,
            "images": self.images,
            "best": self.best,
            "networks": {name: dict(network.state_dict()) for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "scalers": self._scaler_states | scalers,
            "objectives": [self.objective.state_dict()] if objectives is None else list(objectives),
        }

    def load_state_dict(self, state: Mapping[str, Any], average: Mapping[str, Tensor]) -> None:
        """Go on from a state and the average that belongs to it. Keys must fit exactly."""
        self.step, self.images, self.best = int(state["step"]), int(state["images"]), state["best"]
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.average.network.load_state_dict(average)
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimizers"][name])
        self._scaler_states = dict(state["scalers"])
        self._scalers = {}
        objectives = state["objectives"]
        self.objective.load_state_dict(objectives[self.rank % len(objectives)])
