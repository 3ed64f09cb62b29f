"""From a config to a run: what the command line, the tests and the benchmark share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from dp2.config import build, config_roots, find_config, load_config
from dp2.data.folders import output_folder
from dp2.errors import ConfigError, TrainingError, UnreadableCheckpoint, UsageError
from dp2.sink.atomic import atomic_path, output_error
from dp2.training.checkpoints.checkpoint import GENERATOR, Checkpoints, stored
from dp2.training.distributed import Group, joined
from dp2.training.logs import LOG, Log
from dp2.training.loop import Ending, fresh_state, train
from dp2.training.objectives.objective import Objective
from dp2.training.settings import Training
from dp2.training.sheets import SHEET_NAMES, SHEETS
from dp2.training.stopping import Stop

# What may differ between a run and its continuation: it says where and how, not what is trained.
_FREE = (
    "training.images", "training.report*", "training.device", "training.workers", "training.compile",
    "*.folder", "*.root", "*.path", "*.cache", "weights",
)  # fmt: skip
_SECTIONS = ("generator", "discriminator", "data", "training")
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a caller asks for.

    Attributes:
        config: path or name of a config with a `training` section.
        overrides: `key.path=value`.
        output: folder of the run; None = `default_output`.
        fresh: remove what the folder holds of an earlier run; else the run goes on from there.
        minutes: stop after so long; None = run to the end.
    """

    config: str
    overrides: Sequence[str] = ()
    output: Path | None = None
    fresh: bool = False
    minutes: float | None = None

    @property
    def folder(self) -> Path:
        """Of the run."""
        return default_output(self.config) if self.output is None else self.output


def default_output(config: str) -> Path:
    """`outputs/fdf/stylegan` for configs/fdf/stylegan.py; BASE_OUTPUT_DIR stands for `outputs` where it is set."""
    path = find_config(config)
    root = next((root for root in config_roots() if path.is_relative_to(root)), path.parent)
    return Path(output_folder(str(path.relative_to(root).with_suffix(""))))


def prepared(config: DictConfig, source: str) -> Training:
    """The training of a config. Initial weights depend on `training.seed` alone.

    Raises:
        ConfigError: it has no `training` section, or that is no `Training`.
        DatasetError: its data is not there.
    """
    if "training" not in config:
        raise ConfigError(f"{source} has no `training` section; see configs/training.")
    seed = OmegaConf.select(config, "training.seed")
    if not isinstance(seed, int | None):
        raise ConfigError(f"training.seed is a whole number, not {seed}.")
    torch.manual_seed(seed or 0)
    training = build(config.training)
    if not isinstance(training, Training):
        raise ConfigError(f"`training` of {source} makes a {type(training).__name__}, not a Training.")
    return training


def run(request: Request, logs: Sequence[Log] = ()) -> Ending:
    """Train as a config says, on all processes that torchrun started.

    Raises:
        ConfigError, TrainingError, DatasetError, OutputError: see `prepared` and `train`.
    """
    config = load_config(request.config, request.overrides)
    training = prepared(config, request.config)
    checkpoints = checkpoints_of(training, request.folder, fingerprint(config))
    with joined(training.device) as group, Stop(request.minutes) as stop, ExitStack() as stack:
        if group.leads:
            stack.enter_context(_alone(request.folder))
            checkpoints.clean()
            if request.fresh:
                _remove_run(request.folder, checkpoints)
        group.wait()
        return train(training, request.folder, checkpoints, group, stop, list(logs) if group.leads else [])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two runs in one folder would remove each other's checkpoints."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(NotImplementedError):  # some network disks have no locks
            lock.acquire()
    except Timeout as error:
        raise TrainingError(f"{folder}: another run is at work there; wait, or choose another output.") from error
    except OSError as error:
        raise output_error(error, folder) from error
    try:
        yield
    finally:
        lock.release()


def _remove_run(folder: Path, checkpoints: Checkpoints) -> None:
    """What a run wrote into its folder, and nothing else."""
    checkpoints.remove_all()
    for path in (folder / LOG, *(folder / SHEETS).glob(SHEET_NAMES)):
        path.unlink(missing_ok=True)


def rehearse(request: Request) -> Ending:
    """One step of everything, in a temporary folder: all phases, a line of the log, a sheet, a save and a load.

    The batch is cut down to four images a process.

    Raises:
        TrainingError: what was loaded is not what was saved; and as `run`.
    """
    config = load_config(request.config, request.overrides)
    whole = prepared(config, request.config)
    with joined(whole.device) as group, Stop() as stop, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        training = _cut_down(whole, group)
        checkpoints = checkpoints_of(training, folder, fingerprint(config))
        ending = train(training, folder, checkpoints, group, stop, [])
        again = fresh_state(replace(training, objective=build(config.training.objective)), group)
        if group.leads and not (checkpoints.restore(again) and _alike(training.objective, again.objective)):
            raise TrainingError("what a checkpoint gave back is not what was saved.")
        group.wait()
        return ending


def _cut_down(training: Training, group: Group) -> Training:
    """The same run of one small step, told of by a sheet."""
    report = replace(training.report, sheet_every=1, save_every=1, sheet_rows=2, logs=())
    batch = min(training.batch, 4 * group.world)
    return replace(
        training, batch=batch, micro_batch=None, images=1, compile=False, workers=0, initial=None, report=report
    )


def _alike(one: Objective, other: Objective) -> bool:
    """Whether all weights and buffers are equal."""
    states = [[t for n in objective.networks.values() for t in n.state_dict().values()] for objective in (one, other)]
    return all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def checkpoints_of(training: Training, folder: Path, config: Mapping[str, Any]) -> Checkpoints:
    """Those of a run in its folder."""
    return Checkpoints(folder / "checkpoints", config=config, keep=training.report.keep, free=_FREE)


def fingerprint(config: DictConfig) -> dict[str, Any]:
    """Flat `a.b.c` → value of all that is trained."""
    tree = OmegaConf.to_container(config, resolve=True)
    flat: dict[str, Any] = {}
    for name in _SECTIONS:
        _flatten(name, tree.get(name), flat)  # type: ignore[union-attr]
    return flat


def export(folder: Path, target: Path, *, dtype: str = "fp32", overwrite: bool = False) -> int:
    """The averaged generator of a run's best checkpoint, else of its latest, as a file for `weights` of a config.

    Args:
        folder: of the run.
        target: a .safetensors file.
        dtype: fp32, or fp16 for half the size.

    Returns:
        the step it is from.

    Raises:
        TrainingError: the folder holds no checkpoint, or no such dtype.
        UsageError: the target has another ending.
        UnreadableCheckpoint: the checkpoint is damaged.
        OutputError: the target exists or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    if target.suffix != ".safetensors":
        raise UsageError(f"{target}: a generator is exported as a .safetensors file.")
    checkpoints = Checkpoints(folder / "checkpoints")
    steps = checkpoints.steps()
    if not steps:
        raise TrainingError(f"{folder}: holds no checkpoint of a run; train first.")
    if dtype not in _DTYPES:
        raise TrainingError(f"a generator is exported as {' or '.join(_DTYPES)}, not {dtype}.")
    best = checkpoints.best()
    step = best if best in steps else steps[-1]
    path = checkpoints.path(int(step)) / GENERATOR
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UnreadableCheckpoint(f"{path}: is damaged ({error}); remove its folder.") from error
    with atomic_path(target, overwrite=overwrite) as temporary:
        save_file(stored(weights, _DTYPES[dtype]), temporary)
    return int(step)


def _flatten(key: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for name, below in value.items():
            _flatten(f"{key}.{name}", below, flat)
    elif value is None or isinstance(value, bool | int | float | str):
        flat[key] = value
    elif isinstance(value, Sequence):
        flat[key] = [str(item) if not isinstance(item, bool | int | float | str) else item for item in value]
    else:
        flat[key] = str(value)
