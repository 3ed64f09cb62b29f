"""A network that is read when it is first needed, by whichever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from dp2.extras import needing
from dp2.weights.store import Store

if TYPE_CHECKING:
    import torch

N = TypeVar("N")


class LazyNetwork(Generic[N]):
    """A network whose checkpoint is looked for at once and read when it is first asked for, by any thread.

    Args:
        weights: name in the registry, or a file.
        device: "auto", "cpu", "cuda", …
        build: makes the network from the checkpoint's path, on a device.

    Raises:
        UsageError: no such name or file.
        MissingWeights: the checkpoint is not on this machine.
    """

    def __init__(self, weights: str, device: str, build: Callable[[Path, torch.device], N]) -> None:
        self._weights = weights
        self._path = Store().path(weights)
        self._device_name = device
        self._build = build
        self._loading = threading.Lock()
        self._loaded: tuple[N, torch.device] | None = None

    @property
    def path(self) -> Path:
        """Of the checkpoint."""
        return self._path

    @property
    def identity(self) -> list[str | int]:
        """Of the checkpoint, without reading it: name, size and time of its last change."""
        status = self._path.stat()
        return [self._weights, status.st_size, status.st_mtime_ns]

    def get(self) -> tuple[N, torch.device]:
        """The network, and the device that it is on.

        Raises:
            MissingExtra: PyTorch is not installed.
            EngineError: there is no such device here.
            WeightsError: the checkpoint is not this network's.
        """
        from dp2.inference.device import pick_device

        with self._loading:
            if self._loaded is None:
                with needing(self._weights):
                    device = pick_device(self._device_name)
                    self._loaded = self._build(self._path, device), device
            return self._loaded
