"""Optimizers by network. Any of torch.optim serves: `L("torch.optim.Adam")(_partial_=True, lr=0.002)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from dp2.errors import TrainingError
from dp2.training.schedules import Schedule

Recipe = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def lazy_adam(
    parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float] = (0.0, 0.99), interval: int = 16
) -> torch.optim.Adam:
    """Adam for a network whose regulariser comes every `interval` steps.

    Rate and memory are shortened by c = interval / (interval + 1): lr·c and β^c. Source: Karras et al., "Analyzing
    and Improving the Image Quality of StyleGAN" (CVPR 2020), appendix B, "Lazy regularization".
    """
    c = interval / (interval + 1)
    return torch.optim.Adam(parameters, lr=lr * c, betas=(betas[0] ** c, betas[1] ** c))


def build_optimizers(
    networks: Mapping[str, nn.Module], recipes: Mapping[str, Recipe]
) -> dict[str, torch.optim.Optimizer]:
    """One for each network that has something to train.

    Raises:
        TrainingError: a network has no recipe, or a recipe no network.
    """
    trained = {name: [p for p in network.parameters() if p.requires_grad] for name, network in networks.items()}
    trained = {name: parameters for name, parameters in trained.items() if parameters}
    if set(trained) != set(recipes):
        raise TrainingError(f"optimizers are given for {sorted(recipes)}, but trained are {sorted(trained)}.")
    optimizers = {name: recipes[name](parameters) for name, parameters in trained.items()}
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def set_rates(optimizers: Mapping[str, torch.optim.Optimizer], schedule: Schedule, images: int) -> None:
    """The rates of the next step, `images` images into the run."""
    factor = schedule(images)
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state dict; moments get the memory layout of their parameters."""
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.dim():
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
