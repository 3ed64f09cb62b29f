"""Checkpoints: a folder a step, which becomes visible only when it is whole.

    step-000012000/
        generator.safetensors   the averaged generator, as `weights` of a config takes it
        state.safetensors       every other tensor
        state.json              how they belong together; counters, rates, the config that was trained

What a killed run leaves half-written has another name; it is never read and is removed at the next start.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dp2.errors import OutputError, TrainingError, UnreadableCheckpoint
from dp2.training.average_style import settle_average_style
from dp2.training.checkpoints.nested import flattened, restored
from dp2.training.checkpoints.state import State
from dp2.weights.loading import load_strict

GENERATOR = "generator.safetensors"
_STATE, _NUMBERS, _BEST = "state.safetensors", "state.json", "best"
_NAME = re.compile(r"step-(\d{9,})")
_PART = ".part-"


@dataclass(frozen=True)
class Checkpoints:
    """Those of one run.

    Args:
        folder: holds them and nothing else; made when the first is written.
        config: flat `a.b.c` → value of what was trained; kept with each checkpoint and compared at a resume.
        keep: how many of the latest stay; the best one stays beside them.
        free: patterns of keys of `config` that may differ at a resume.
    """

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    keep: int = 3
    free: tuple[str, ...] = ()

    def steps(self) -> list[int]:
        """Of the whole ones, rising."""
        if not self.folder.is_dir():
            return []
        names = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def path(self, step: int) -> Path:
        """The folder of a step."""
        return self.folder / f"step-{step:09d}"

    def save(self, state: State, *, best: bool = False, objectives: Sequence[Mapping[str, Any]] | None = None) -> Path:
        """Write the state as it is, then remove what need not be kept.

        Args:
            best: whether it is the best so far.
            objectives: as of `State.state_dict`.

        Raises:
            OutputError: the disk is full or the folder cannot be written to; earlier checkpoints stay.
        """
        target = self.path(state.step)
        part = self.folder / f"{_PART}{secrets.token_hex(6)}"
        try:
            part.mkdir(parents=True)
            self._write(part, state, objectives)
            if target.exists():
                self._remove(target)
            os.replace(part, target)
            _sync(self.folder)
            if best:
                self._mark_best(state.step)
        except (OSError, SafetensorError) as error:  # safetensors wraps what the system says
            shutil.rmtree(part, ignore_errors=True)
            raise OutputError(f"{target}: the checkpoint cannot be written ({error}).") from error
        self._thin()
        return target

    def restore(self, state: State, step: int | None = None) -> bool:
        """Go on from the latest checkpoint, or from that of a step.

        Returns:
            whether there was one.

        Raises:
            TrainingError: it was trained with another config (the differing keys are named) or other networks.
            UnreadableCheckpoint: it is damaged.
        """
        steps = self.steps()
        if not steps:
            return False
        numbers, tensors, average = self.read(self.path(steps[-1] if step is None else step))
        self._compare(numbers["config"])
        content = restored(numbers["state"], tensors)
        try:
            state.load_state_dict(content, average)
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:  # other keys, shapes, kinds
            raise TrainingError(f"{self.folder}: was written by other networks ({error}); use --fresh.") from error
        return True

    def clean(self) -> None:
        """Remove what a killed run left half-written."""
        if self.folder.is_dir():
            for path in self.folder.glob(f"{_PART}*"):
                shutil.rmtree(path)

    def remove_all(self) -> None:
        """Make room for a run from the start."""
        self.clean()
        for step in self.steps():
            self._remove(self.path(step))
        (self.folder / _BEST).unlink(missing_ok=True)

    def best(self) -> int | None:
        """The step of the best one, by the measure of the run; None = none was measured."""
        path = self.folder / _BEST
        if not path.is_file():
            return None
        text = path.read_bytes()[:20]
        if not text.isdigit():
            raise UnreadableCheckpoint(f"{path}: is damaged; remove it, and the latest checkpoint counts.")
        return int(text)

    def read(self, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
        """The parts of a checkpoint's folder: what JSON holds, tensors by their path, the average.

        Raises:
            UnreadableCheckpoint: it is damaged.
        """
        try:
            numbers = json.loads((folder / _NUMBERS).read_text(encoding="utf-8"))
            if not isinstance(numbers["config"], dict) or "state" not in numbers:
                raise ValueError(f"{_NUMBERS} holds no config or no state")
            return numbers, load_file(folder / _STATE), load_file(folder / GENERATOR)
        except Exception as error:  # safetensors has an exception type of its own beside OSError and ValueError
            raise UnreadableCheckpoint(
                f"{folder}: is damaged ({error}); remove it, and the run goes on from the one before."
            ) from error

    def _write(self, folder: Path, state: State, objectives: Sequence[Mapping[str, Any]] | None) -> None:
        settle_average_style(state.average.network)
        layout, tensors = flattened(state.state_dict(objectives))
        save_file(stored(state.average.network.state_dict()), folder / GENERATOR)
        save_file(stored(tensors), folder / _STATE)
        text = json.dumps({"config": dict(self.config), "state": layout}, indent=1)
        (folder / _NUMBERS).write_text(text, encoding="utf-8")
        for name in (GENERATOR, _STATE, _NUMBERS, "."):
            _sync(folder / name)

    def _compare(self, earlier: Mapping[str, Any]) -> None:
        now = json.loads(json.dumps(dict(self.config)))
        differing = [
            f"{key} was {earlier.get(key, 'absent')}, is {now.get(key, 'absent')}"
            for key in sorted({*earlier, *now})
            if earlier.get(key) != now.get(key) and not any(fnmatchcase(key, pattern) for pattern in self.free)
        ]
        if differing:
            more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
            raise TrainingError(
                f"{self.folder}: holds a run of another config: {'; '.join(differing[:5])}{more}. "
                "Choose another output, or start over with --fresh."
            )

    def _mark_best(self, step: int) -> None:
        part = self.folder / f"{_PART}best"
        part.mkdir(exist_ok=True)
        (part / _BEST).write_text(str(step), encoding="ascii")
        _sync(part / _BEST)
        os.replace(part / _BEST, self.folder / _BEST)
        part.rmdir()

    def _thin(self) -> None:
        """Remove all but the latest and the best."""
        for step in self.steps()[: -self.keep]:
            if step == self.best():
                continue
            self._remove(self.path(step))

    def _remove(self, path: Path) -> None:
        doomed = self.folder / f"{_PART}{secrets.token_hex(6)}"  # a name that is not read, before it is half gone
        os.replace(path, doomed)
        shutil.rmtree(doomed)


def initialize(state: State, folder: Path) -> None:
    """Begin with the weights of an earlier run's latest checkpoint: of its averaged generator, and of each further
    network that both runs have.

    Args:
        folder: of that run.

    Raises:
        TrainingError: it holds no checkpoint.
        CheckpointMismatch: a network of the same name is another one.
    """
    checkpoints = Checkpoints(folder / "checkpoints")
    steps = checkpoints.steps()
    if not steps:
        raise TrainingError(f"{folder}: holds no checkpoint to begin with.")
    source = checkpoints.path(steps[-1])
    numbers, tensors, average = checkpoints.read(source)
    earlier = {**restored(numbers["state"], tensors)["networks"], "generator": average}
    for name, network in state.networks.items():
        if name in earlier and network.state_dict():
            load_strict(network, earlier[name], source=f"{source}, {name}")
    load_strict(state.average.network, average, source=str(source))


def stored(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """As safetensors takes them: on the CPU, each with memory of its own; floating ones as `dtype` where given."""
    found = {}
    for name, tensor in tensors.items():
        target = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        found[name] = tensor.detach().to("cpu", target).clone(memory_format=torch.contiguous_format)
    return found


def _sync(path: Path) -> None:
    """To the disk; folders too where the system can."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
