"""OpenCV's own inference: always installed, the slowest."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import EngineError, one_line
from dp2.inference.network import Chosen, Network


class OpenCvEngine:
    """One net, frame by frame."""

    def __init__(self, network: Network) -> None:
        import cv2

        self._cv2 = cv2
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(network.model, np.uint8))
        except cv2.error as error:
            raise EngineError(f"OpenCV cannot load the network: {one_line(error)}") from error
        self._network = network
        self._lock = threading.Lock()
        self.chosen = Chosen("opencv", cv2.__version__, "CPU", "fp32")

    def run(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """See `Engine.run`."""
        with self._lock:
            rows = [self._run_one(item) for item in batch]
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    def run_named(self, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """See `Engine.run_named`."""
        with self._lock:
            try:
                for name, tensor in inputs.items():
                    self._net.setInput(tensor, name)
                return self._forward()
            except self._cv2.error as error:
                raise EngineError(f"OpenCV failed: {one_line(error)}") from error

    def _forward(self) -> list[NDArray[np.float32]]:
        names = self._network.outputs or self._net.getUnconnectedOutLayersNames()
        return [np.array(output) for output in self._net.forward(list(names))]

    def _run_one(self, item: NDArray[Any]) -> list[NDArray[np.float32]]:
        try:
            self._net.setInput(self._cv2.dnn.blobFromImage(item) if self._network.pixels else item[None])
            return self._forward()
        except self._cv2.error as error:
            raise EngineError(f"OpenCV failed on input {item.shape}: {one_line(error)}") from error


def load(network: Network, device: str, precision: str) -> OpenCvEngine:  # noqa: ARG001 - fp32 is all there is
    """Load a network; see `dp2.inference.engine.load_engine`."""
    if device not in ("auto", "cpu"):
        raise EngineError(f"OpenCV runs here on cpu, not on {device}: take engine onnxruntime for it")
    return OpenCvEngine(network)
