"""An engine that is loaded when it is first needed, by whichever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dp2.inference.engine import check_names, load_engine
from dp2.inference.network import Engine, Network
from dp2.weights.packaged import checksum, read_weights


class LazyEngine:
    """A network in a file, read and compiled at its first use.

    Args:
        find: gives the path of the file.
        read: makes the network from the file's bytes; the path is for errors.
        engine: one of `dp2.inference.engine.ENGINES`.
        device: one of `dp2.inference.engine.DEVICES` or an ONNX Runtime execution provider.

    Raises:
        UsageError: no engine or device of that name.
    """

    def __init__(
        self, find: Callable[[], Path], read: Callable[[bytes, Path], Network], *, engine: str, device: str
    ) -> None:
        check_names(engine, device)
        self._find, self._read = find, read
        self._engine, self._device = engine, device
        self._loading = threading.Lock()
        self._loaded: tuple[Engine, str] | None = None

    def get(self) -> Engine:
        """The engine; loads it.

        Raises:
            EngineError: the engine or device is not on this machine.
            WeightsError: the file is missing, damaged or of another network.
        """
        return self._load()[0]

    @property
    def settings(self) -> dict[str, Any]:
        """What of it decides results, for `dp2.stages.Detector.settings`; loads it. Errors as of `get`."""
        engine, digest = self._load()
        chosen = engine.chosen
        return {
            "weights": digest,
            "engine": chosen.engine,
            "device": chosen.device,
            "precision": chosen.precision,
        }

    def _load(self) -> tuple[Engine, str]:
        with self._loading:
            if self._loaded is None:
                path = self._find()
                data = read_weights(path)
                network = self._read(data, path)
                self._loaded = load_engine(network, engine=self._engine, device=self._device), checksum(data)
            return self._loaded
