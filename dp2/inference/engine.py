"""Inference engines for ONNX networks behind one door: which is taken, on which device, in which precision."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from dp2.errors import EngineError, UsageError
from dp2.inference.network import Engine, Network

ENGINES = ("auto", "openvino", "openvino-bf16", "openvino-int8", "onnxruntime", "opencv")
DEVICES = ("auto", "cpu", "cuda", "coreml", "directml")


# Every loader is `load(network, device, precision)`; its engine's package is imported only when the loader is called.
_LOADERS = {
    "openvino": ("dp2.inference.engine_openvino", "fp32"),
    "openvino-bf16": ("dp2.inference.engine_openvino", "bf16"),
    "openvino-int8": ("dp2.inference.engine_openvino", "int8"),
    "onnxruntime": ("dp2.inference.engine_onnxruntime", "fp32"),
    "opencv": ("dp2.inference.engine_opencv", "fp32"),
}


def load_engine(network: Network, *, engine: str = "auto", device: str = "auto") -> Engine:
    """Load a network into the named engine, or into the fastest that keeps the results.

    "auto" takes, in this order: ONNX Runtime if it brings an accelerator (CUDA, Core ML, DirectML), OpenVINO in bf16 if
    the processor computes bf16 in hardware, in int8 if it has integer dot products and the network has ranges, in fp32,
    ONNX Runtime on the processor, OpenCV.

    Args:
        network: what to load.
        engine: one of `ENGINES`.
        device: one of `DEVICES`, or the name of an ONNX Runtime execution provider ("CUDAExecutionProvider").

    Raises:
        UsageError: no such engine or device.
        EngineError: the engine or device is not there, or cannot load the network.
    """
    check_names(engine, device)
    if engine != "auto":
        return _load(engine, network, device)
    return _load_first(_preferred(device, network), network)


def check_names(engine: str, device: str) -> None:
    """Raise `UsageError` unless an engine and a device of these names are known."""
    if engine not in ENGINES:
        raise UsageError(f"no engine is called {engine!r}; known are {', '.join(ENGINES)}")
    if device not in DEVICES and not device.endswith("ExecutionProvider"):
        known = ", ".join(DEVICES)
        raise UsageError(f"no device is called {device!r}; known are {known} and ONNX Runtime's execution providers")


def _load(engine: str, network: Network, device: str) -> Engine:
    module, precision = _LOADERS[engine]
    load: Callable[[Network, str, str], Engine] = importlib.import_module(module).load
    return load(network, device, precision)


def _preferred(device: str, network: Network) -> list[tuple[str, str]]:
    """(engine, device) pairs to try, the fastest first."""
    if device not in ("auto", "cpu"):
        return [("onnxruntime", device)]
    from dp2.inference.engine_onnxruntime import accelerators
    from dp2.inference.engine_openvino import has_bf16, has_int8

    pairs = []
    if not network.exact:
        pairs += [("openvino-bf16", "cpu")] if has_bf16() else []
        pairs += [("openvino-int8", "cpu")] if network.ranges is not None and has_int8() else []
    pairs += [("openvino", "cpu"), ("onnxruntime", "cpu"), ("opencv", "cpu")]
    if device == "auto":
        return [("onnxruntime", provider) for provider in accelerators()] + pairs
    return pairs


def _load_first(pairs: Sequence[tuple[str, str]], network: Network) -> Engine:
    reasons = []
    for engine, device in pairs:
        try:
            return _load(engine, network, device)
        except EngineError as error:
            reasons.append(str(error))
    raise EngineError("; ".join(reasons))
