"""From a generator's config to something that paints: network, checkpoint, device and engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dp2.config import build, load_config
from dp2.errors import ConfigError, EngineError, UsageError
from dp2.extras import is_installed, needing
from dp2.inference import engine
from dp2.weights.registry import entries
from dp2.weights.store import Store

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from dp2.models.generator import Generator
    from dp2.synthesize.backend import Backend

ENGINES = ("torch", *engine.ENGINES)


@dataclass
class GeneratorSource:
    """A generator that is on this machine but not yet in memory.

    Args:
        config: defines `generator` and `weights` (a name of the registry or a file), `rename` where the published names
            are not the network's, and `cpu_backend` where the generator runs on a CPU without torch: what makes a
            `Backend` of the checkpoint.
        device: "auto", "cpu", "cuda", …
        amp: mixed precision; None = where the machine gains.
        engine: one of `ENGINES`; "auto" = torch, or the config's `cpu_backend` where there is no sign of a GPU, or no
            torch to use it.
        compile: use torch.compile.
        weights: in place of the config's: a name of the registry or a file.

    Raises:
        ConfigError: the config defines no generator.
        MissingWeights: the checkpoint is not on this machine.
    """

    config: str
    device: str = "auto"
    amp: bool | None = None
    engine: str = "auto"
    compile: bool = False
    weights: str | None = None
    checkpoint: Path = field(init=False)
    _tree: DictConfig = field(init=False, repr=False)
    _leftovers: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError(f"a generator's engine is one of {', '.join(ENGINES)}, not {self.engine}.")
        self._tree = tree = load_config(self.config)
        if "generator" not in tree or (self.weights is None and "weights" not in tree):
            raise ConfigError(f"{self.config} defines no `generator` with `weights`.")
        name = str(tree.weights if self.weights is None else self.weights)
        self.checkpoint = Store().path(name)
        self._leftovers = entries()[name].leftovers if name in entries() else ()

    def network(self) -> Generator:
        """The generator on the CPU with its published weights, ready for inference.

        Raises:
            CheckpointMismatch, UnsafeCheckpoint: the file is not that network's.
        """
        from hydra.utils import get_method

        from dp2.weights.loading import generator_state, load_checkpoint, load_strict

        tree = self._tree
        network: Any = build(tree.generator)
        source = str(self.checkpoint)
        state, centers = generator_state(load_checkpoint(self.checkpoint), source)
        rename = get_method(tree.rename) if "rename" in tree else None
        load_strict(network, state, self._leftovers, source, rename)
        if centers is not None:
            network.set_w_centers(centers)
        network.eval().requires_grad_(False)
        ready: Generator = network
        return ready

    def load(self) -> Backend:
        """Into memory, on its device.

        Raises:
            MissingExtra: it runs in PyTorch, which is not installed.
            EngineError: the device or engine is not to be had.
        """
        from dp2.inference.device import may_have_gpu

        tree = self._tree
        gpu = is_installed("torch") and may_have_gpu()
        on_cpu = self.device == "cpu" or (self.device == "auto" and not gpu)
        if self.engine != "torch" and on_cpu and not self.compile and "cpu_backend" in tree:
            light: Backend = build(tree.cpu_backend)(self.checkpoint, amp=self.amp, engine=self.engine)
            return light
        with needing(self.config):
            return self._in_torch()

    def _in_torch(self) -> Backend:
        from dp2.inference.device import pick_device
        from dp2.synthesize.torch_backend import TorchBackend

        network: Any = self.network()
        device = pick_device(self.device)
        if self.engine in ("auto", "torch"):
            return TorchBackend(network, device, amp=self.amp, compiled=self.compile)
        if device.type != "cpu":
            raise EngineError(f"the engine {self.engine} runs on the CPU; with device {device} use torch.")
        from dp2.synthesize.exported import ExportedBackend

        return ExportedBackend(network, self.engine)
