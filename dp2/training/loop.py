"""The loop of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from dp2.data.batch import Batch
from dp2.data.loader import Loading, training_batches
from dp2.errors import TrainingError
from dp2.training.checkpoints.checkpoint import Checkpoints, initialize
from dp2.training.checkpoints.state import State
from dp2.training.distributed import Group
from dp2.training.ema import ExponentialAverage
from dp2.training.journal import Journal
from dp2.training.logs import JsonLines, Log
from dp2.training.optimizers import build_optimizers, set_rates
from dp2.training.precision import Precision, settled_backends
from dp2.training.settings import Training
from dp2.training.sheets import SHEETS, Sheets
from dp2.training.stopping import Stop
from dp2.training.update import Updater


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        step, images: made and seen in all.
        reason: why before its last image; None = it is complete.
        checkpoint: the last one.
        leads: whether this process is the one that reports.
    """

    step: int
    images: int
    reason: str | None
    checkpoint: Path
    leads: bool = True


def train(
    training: Training, folder: Path, checkpoints: Checkpoints, group: Group, stop: Stop, logs: list[Log]
) -> Ending:
    """Train from the latest checkpoint, or from the start, until the last image or until told to stop.

    Args:
        training: what and how.
        folder: gets `log.jsonl` and `sheets/`; checkpoints lie where `checkpoints` says.
        group: the processes of this run, this one among them; the leader alone writes.
        stop: asked after each step.
        logs: further ones, of the caller.

    Raises:
        TrainingError: it cannot start or go on, or values are not finite.
        DatasetError: data is missing or damaged.
        OutputError: the folder cannot be written to.
    """
    with settled_backends(group.device):
        return _train(training, folder, checkpoints, group, stop, logs)


def _train(
    training: Training, folder: Path, checkpoints: Checkpoints, group: Group, stop: Stop, logs: list[Log]
) -> Ending:
    state = fresh_state(training, group)
    if not checkpoints.restore(state) and training.initial is not None:
        initialize(state, Path(training.initial))
    if group.any(state.step != group.leaders(state.step)):
        raise TrainingError(f"{folder}: not all processes find the checkpoint there; it must be a folder they share.")
    group.share(state.tensors())
    if training.compile:
        for name in state.optimizers:
            state.networks[name].compile()
    micro = training.micro(group.world)
    precision = Precision(training.precision, group.device)
    update = Updater(state, group, precision, training.batch // micro, training.seed, training.clip, training.compile)
    report, journal, reason, saved = training.report, Journal(), None, state.step
    sheets = sheets_of(training, folder)

    with ExitStack() as stack:
        logs = [*logs, *_opened(training, folder, group, state, stack)]
        batches = own_batches(training, group, state.images)
        while state.images < training.images and reason is None:
            own = numbered(next(batches), micro, group, training.channels_last)
            set_rates(state.optimizers, training.schedule, state.images)

            for phase in state.objective.phases(state.step):
                journal.add(phase.name, update(phase, own))

            state.average.update(state.networks["generator"], training.batch, state.images)
            state.step += 1
            state.images += training.batch
            journal.count(training.batch)

            reason = _agreed(stop.reason, group)
            ends = reason is not None or state.images >= training.images
            if ends or _due(report.log_every, state, training):
                values = journal.averages(group)
                for log in logs if group.leads else ():
                    log.numbers(state.step, state.images, values)
            if group.leads and _due(report.sheet_every, state, training):
                _show(sheets, state, group, logs)
            if ends or _due(report.save_every, state, training):
                objectives = group.gathered(state.objective.state_dict())
                if group.leads:
                    _save(training, checkpoints, state, objectives, logs)
                saved = state.step
    return Ending(state.step, state.images, reason, checkpoints.path(saved), group.leads)


def fresh_state(training: Training, group: Group) -> State:
    """A run before its first step, on its device."""
    layout = torch.channels_last if training.channels_last else torch.contiguous_format
    for network in training.objective.networks.values():
        network.to(group.device, memory_format=layout)  # type: ignore[call-overload]
        network.train()
    networks = training.objective.networks
    average = ExponentialAverage(networks["generator"], half_life=training.half_life, rampup=training.ema_rampup)
    return State(training.objective, build_optimizers(networks, training.optimizers), average, rank=group.rank)


def own_batches(training: Training, group: Group, images: int) -> Iterator[Batch]:
    """This process's rows of each batch, from `images` into the run."""
    loading = Loading(training.workers, group.rank, group.world, pin=group.device.type == "cuda")
    return training_batches(training.data, batch_size=training.batch, seed=training.seed, start=images, loading=loading)


def numbered(batch: Batch, micro: int, group: Group, channels_last: bool) -> list[tuple[int, Batch]]:
    """Micro-batches on the device, with their numbers among all of the step."""
    batch = batch.to(group.device)
    if channels_last:
        batch = replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))
    first = group.rank * len(batch) // micro
    return [(first + i, batch[i * micro : (i + 1) * micro]) for i in range(len(batch) // micro)]


def sheets_of(training: Training, folder: Path) -> Sheets:
    """The sheets of a run, not drawn yet."""
    report = training.report
    data = training.data if report.sheet_data is None else report.sheet_data
    return Sheets(folder / SHEETS, data, rows=report.sheet_rows, latents=report.sheet_latents, seed=training.seed)


def _opened(training: Training, folder: Path, group: Group, state: State, stack: ExitStack) -> list[Log]:
    if not group.leads:
        return []
    made: list[Log] = [JsonLines(folder, state.images)]
    made += [opens(folder, state.images) for opens in training.report.logs]
    for log in made:
        stack.enter_context(closing(log))
    return made


def _agreed(reason: str | None, group: Group) -> str | None:
    """All processes stop after the same step, whichever was told to."""
    return (reason or "another process was stopped") if group.any(reason is not None) else None


def _due(every: int, state: State, training: Training) -> bool:
    """Whether the last step crossed a multiple of `every` images."""
    return state.images // every > (state.images - training.batch) // every


def _show(sheets: Sheets, state: State, group: Group, logs: list[Log]) -> None:
    path = sheets.write(state, group)
    for log in logs:
        log.sheet(state.images, path)


def _save(
    training: Training, checkpoints: Checkpoints, state: State, objectives: list[dict[str, Any]], logs: list[Log]
) -> None:
    measure = training.report.measure
    is_best = False
    if measure is not None:
        value = measure(state.average.network)
        is_best = isfinite(value) and (state.best is None or value < state.best)
        state.best = value if is_best else state.best
        for log in logs:
            log.numbers(state.step, state.images, {measure.name: value})
    checkpoints.save(state, best=is_best, objectives=objectives)
