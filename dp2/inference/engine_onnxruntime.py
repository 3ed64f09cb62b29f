"""ONNX Runtime: runs everywhere, and on NVIDIA, Apple and DirectX accelerators with the package made for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import EngineError, one_line
from dp2.inference.network import Chosen, Network
from dp2.inference.onnx_runtime import import_onnxruntime

_CPU = "CPUExecutionProvider"
_PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": _CPU,
}
# TF32 keeps 10 bits of the mantissa: boxes would move
_OPTIONS: dict[str, dict[str, str]] = {"CUDAExecutionProvider": {"use_tf32": "0"}}


def accelerators() -> list[str]:
    """Devices of ours ("cuda", …) that the installed ONNX Runtime was built for, the fastest first."""
    try:
        available = import_onnxruntime().get_available_providers()
    except EngineError:
        return []
    return [device for device, provider in _PROVIDERS.items() if provider in available and provider != _CPU]


class OnnxRuntimeEngine:
    """One session. On an accelerator a batch runs at once; on the processor frame by frame, which is faster there."""

    def __init__(self, network: Network, provider: str) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        if network.threads is not None:
            options.intra_op_num_threads = network.threads
        options.log_severity_level = 3  # warnings about constants that are listed as inputs
        providers = [(provider, _OPTIONS.get(provider, {}))]
        if provider != _CPU:
            providers.append((_CPU, {}))  # for operators that the accelerator lacks
        self._session = ort.InferenceSession(network.model, options, providers=providers)
        if self._session.get_providers()[0] != provider:
            raise EngineError(f"ONNX Runtime has {provider}, but its libraries or device are missing on this machine")
        self._input = self._session.get_inputs()[0].name
        self._network = network
        self._lock = threading.Lock()
        self.chosen = Chosen("onnxruntime", ort.__version__, provider, "fp32")

    def run(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """See `Engine.run`."""
        step = 1 if self.chosen.device == _CPU and not self._network.together else max(1, len(batch))
        with self._lock:
            rows = [self._run_some(batch[i : i + step]) for i in range(0, len(batch), step)]
        return rows[0] if len(rows) == 1 else [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    def run_named(self, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """See `Engine.run_named`."""
        with self._lock:
            return self._outputs(dict(inputs))

    def _run_some(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        tensor = planes(batch) if self._network.pixels else batch
        return self._outputs({self._input: tensor})

    def _outputs(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        try:
            return list(self._session.run(list(self._network.outputs) or None, inputs))
        except Exception as error:  # its exceptions share no base of their own
            shapes = ", ".join(str(tensor.shape) for tensor in inputs.values())
            raise EngineError(f"ONNX Runtime failed on input {shapes}: {one_line(error)}") from error


def planes(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W, C) pixels as (N, C, H, W) float32, values unchanged."""
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32)


def load(network: Network, device: str, precision: str) -> OnnxRuntimeEngine:  # noqa: ARG001 - fp32 is all there is
    """Load a network; see `dp2.inference.engine.load_engine`."""
    available = import_onnxruntime().get_available_providers()
    if device == "auto":
        for accelerator in accelerators():
            try:
                return _load_on(_PROVIDERS[accelerator], network)
            except EngineError:
                continue  # built for it, but this machine has none
        return _load_on(_CPU, network)
    provider = _PROVIDERS.get(device, device)
    if provider not in available:
        there = ", ".join(available)
        raise EngineError(f"the installed ONNX Runtime has no {provider}; it has {there}; use --device cpu.")
    return _load_on(provider, network)


def _load_on(provider: str, network: Network) -> OnnxRuntimeEngine:
    try:
        return OnnxRuntimeEngine(network, provider)
    except EngineError:
        raise
    except Exception as error:  # its exceptions share no base of their own
        raise EngineError(f"ONNX Runtime cannot load the network on {provider}: {one_line(error)}") from error
