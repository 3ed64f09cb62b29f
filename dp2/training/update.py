"""One phase of a step: its networks thawed, gradients of all micro-batches and processes averaged, weights moved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dp2.data.batch import Batch
from dp2.errors import TrainingError
from dp2.training.chance import derived_seed, seeded_generator
from dp2.training.checkpoints.state import State
from dp2.training.distributed import Group
from dp2.training.objectives.objective import Phase
from dp2.training.precision import Precision

_SMALLEST_SCALE = 2.0**-20


@dataclass(frozen=True)
class Updater:
    """What all updates of a run share.

    Args:
        state: moved in place.
        micro_batches: of a step, over all processes.
        seed: of every chance within phases.
        clip: bound on the norm of a network's gradient; None = none.
        compiled: networks are; phases that differentiate twice go without.
    """

    state: State
    group: Group
    precision: Precision
    micro_batches: int
    seed: int
    clip: float | None = None
    compiled: bool = False

    def __call__(self, phase: Phase, own: Sequence[tuple[int, Batch]]) -> dict[str, Tensor]:
        """Make one update.

        Args:
            phase: of this step.
            own: this process's micro-batches with their numbers among all of the step.

        Returns:
            (): `total` and the phase's numbers, summed over this process's micro-batches and divided by their number
            over all processes.

        Raises:
            TrainingError: the loss or a gradient is not finite.
        """
        state = self.state
        parameters = state.thaw(phase.trains)
        buffers = [b for network in state.networks.values() for b in network.buffers() if b.is_floating_point()]
        before = [buffer.clone() for buffer in buffers]
        changes = [torch.zeros_like(buffer) for buffer in buffers]
        numbers: dict[str, Tensor] = {}
        for number, batch in own:
            _copy(before, buffers)
            for name, value in self._backward(phase, number, batch).items():
                numbers[name] = numbers.get(name, 0) + value.detach().float().to(self.group.device) / self.micro_batches
            for change, old, new in zip(changes, before, buffers, strict=True):
                change += (new.detach() - old) / self.micro_batches
        self.group.sum_([p.grad for p in parameters if p.grad is not None])
        self.group.sum_(changes)
        _copy([old + change for old, change in zip(before, changes, strict=True)], buffers)
        self._move(phase, numbers["total"])
        return numbers

    def _backward(self, phase: Phase, number: int, batch: Batch) -> dict[str, Tensor]:
        """Add the gradients of one micro-batch."""
        place = (self.seed, self.state.step, phase.name, number)
        torch.manual_seed(derived_seed(*place, "layers"))  # for layers that draw from torch's own source
        with self.precision.autocast(), self._uncompiled(phase):
            losses = phase.losses(batch, seeded_generator(self.group.device, *place))
        self.state.scaler(phase.name, self.precision).scale(losses.total.float() / self.micro_batches).backward()  # type: ignore[no-untyped-call]
        return {"total": losses.total, **losses.numbers}

    def _uncompiled(self, phase: Phase) -> AbstractContextManager[None]:
        if not (self.compiled and phase.twice):
            return nullcontext()
        return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]

    def _move(self, phase: Phase, total: Tensor) -> None:
        """Step the optimizers of a phase."""
        state, scaler = self.state, self.state.scaler(phase.name, self.precision)
        for name in phase.trains:
            if name not in state.optimizers:
                continue
            scaler.unscale_(state.optimizers[name])
            gradients = [p.grad for p in state.networks[name].parameters() if p.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
            if not scaler.is_enabled() and not bool(torch.isfinite(norm + total)):
                raise TrainingError(
                    f"phase {phase.name} of step {state.step}: the loss ({float(total):g}) or the gradient of {name} "
                    f"({float(norm):g}) is not finite. The last checkpoint is from before; lower the rate or use fp32."
                )
            if self.clip is not None:
                nn.utils.clip_grads_with_norm_(state.networks[name].parameters(), self.clip, norm)
            scaler.step(state.optimizers[name])
            state.optimizers[name].zero_grad(set_to_none=True)
        if scaler.is_enabled():
            scaler.update()
            if scaler.get_scale() < _SMALLEST_SCALE:
                raise TrainingError(f"phase {phase.name} of step {state.step}: fp16 overflows at any scale; use bf16.")


def _copy(values: Iterable[Tensor], buffers: Iterable[Tensor]) -> None:
    with torch.no_grad():
        for value, buffer in zip(values, buffers, strict=True):
            buffer.copy_(value)
