"""From configs to a measurement: the generator, its data, the metrics."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp2.config import build, load_config
from dp2.data.batch import Dataset
from dp2.errors import ConfigError, UsageError
from dp2.metrics.metric import Metric
from dp2.metrics.painter import Painter
from dp2.synthesize.generators import GeneratorSource

_TRAINED = "generator.safetensors"


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        dataset: the config's `data.validation`.
        painter: its generator.
        checkpoint: the file that the weights came from.
        described: the dataset's node as text.
    """

    dataset: Dataset
    painter: Painter
    checkpoint: Path
    described: str


def subject(
    config: str, *, checkpoint: str | None = None, device: str = "auto", seed: int = 0, truncation: float | None = None
) -> Subject:
    """The generator and validation data of a config.

    Args:
        config: defines `generator`, `weights` and `data` with `validation`.
        checkpoint: in place of `weights`: a name of the registry, a file, or a folder that training wrote.
        device: where to paint.
        seed: of latents.
        truncation: of styles, in [0, 1]; None = as drawn.

    Raises:
        ConfigError: the config lacks one of them.
        DatasetError: its data is not there.
        WeightsError: the checkpoint is missing or is not this generator's.
        EngineError: there is no such device.
    """
    import torch

    from dp2.inference.device import pick_device

    tree = load_config(config)
    node = _data_of(tree, config)
    source = GeneratorSource(config, weights=checkpoint_file(checkpoint))
    dataset: Dataset = build(node)
    surface = build(tree.data.surface) if tree.data.get("surface") is not None else None
    painter = Painter(
        source.network(),
        pick_device(device),
        seed=seed,
        surface=None if surface is None else torch.as_tensor(surface),
        truncation=truncation,
    )
    return Subject(dataset, painter, source.checkpoint, str(node))


def chosen_metrics(config: str, names: Sequence[str], *, device: str = "auto") -> dict[str, Metric]:
    """Metrics of a config by name, in the order asked for; only these are built.

    Args:
        config: defines `metrics` (name → call) and `usual` (names), e.g. configs/metrics/default.py.
        names: empty = the usual ones.
        device: where their networks run, if the config has a `device`.

    Raises:
        ConfigError: the config has no metrics.
        UsageError: there is no metric of a name; the nearest is given.
        MissingWeights: a metric's network is not on this machine.
    """
    tree = load_config(config)
    table: Any = tree.get("metrics")
    if not table:
        raise ConfigError(f"{config} defines no `metrics`; configs/metrics/default.py does.")
    if "device" in tree:
        tree.device = device
    wanted = list(names) or list(tree.get("usual") or table)
    for name in wanted:
        if name not in table:
            near = difflib.get_close_matches(name, list(table), n=1, cutoff=0.0)[0]
            raise UsageError(f"no metric is called {name}; the nearest is {near}. There are: {', '.join(table)}.")
    return {name: build(table[name]) for name in dict.fromkeys(wanted)}


def checkpoint_file(given: str | None) -> str | None:
    """A folder that training wrote stands for the averaged generator in it.

    Raises:
        UsageError: the folder holds none.
    """
    if given is None or not Path(given).is_dir():
        return given
    file = Path(given) / _TRAINED
    if not file.is_file():
        raise UsageError(f"{given}: holds no {_TRAINED}; name one of a run's step-… folders.")
    return str(file)


def _data_of(tree: Any, config: str) -> Any:
    data = tree.get("data")
    node = data.get("validation") if data is not None else None
    if node is None:
        raise ConfigError(f"{config} defines no `data.validation`, the dataset to measure on.")
    return node
