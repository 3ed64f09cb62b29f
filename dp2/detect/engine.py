"""Inference engines for ONNX networks behind one door: which is taken, on which device, in which precision."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dp2.detect.quantize import Ranges
from dp2.errors import EngineError, UsageError

ENGINES = ("auto", "openvino", "openvino-bf16", "openvino-int8", "onnxruntime", "opencv")
DEVICES = ("auto", "cpu", "cuda", "coreml", "directml")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What runs a network.

    Attributes:
        engine: one of `ENGINES`, never "auto".
        version: of the engine.
        device: as the engine calls it: CPU, CUDAExecutionProvider, …
        precision: fp32, bf16 or int8.
    """

    engine: str
    version: str
    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.version} on {self.device}, {self.precision}"


@dataclass(frozen=True, slots=True)
class Network:
    """An ONNX network with free batch and image axes.

    Attributes:
        model: the serialised ONNX file.
        outputs: names of the outputs, in the order in which `Engine.run` returns them.
        pixels: whether `Engine.run` is fed (N, H, W, 3) uint8 images in [0, 255]; otherwise (N, C, H, W) float32.
            The network itself always takes (N, C, H, W) float32; an engine may fold the conversion into its graph.
        ranges: of the inputs of its convolutions, where it can be computed in 8 bits.
        bf16: whether "auto" may compute it in bf16; a cascade of thresholds may not.
        together: whether a batch runs at once on the processor, too: for crops, which are small. Frames run one by one.
        threads: None = as the engine thinks best. A network of few operations takes with two threads nearly as long as
            with one, so that the second is lost for what else there is to do.
    """

    model: bytes
    outputs: tuple[str, ...]
    pixels: bool = False
    ranges: Ranges | None = None
    bf16: bool = True
    together: bool = False
    threads: int | None = None


class Engine(Protocol):
    """A loaded network. `run` may be called from any thread; calls wait for each other."""

    @property
    def chosen(self) -> Chosen:
        """Which engine, device and precision this is."""

    def run(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Outputs, each (N, …) float32, for a batch of the kind that `Network.pixels` says.

        Raises:
            EngineError: the engine failed.
        """


# Every loader is `load(network, device, precision)`; its engine's package is imported only when the loader is called.
_LOADERS = {
    "openvino": ("dp2.detect.engine_openvino", "fp32"),
    "openvino-bf16": ("dp2.detect.engine_openvino", "bf16"),
    "openvino-int8": ("dp2.detect.engine_openvino", "int8"),
    "onnxruntime": ("dp2.detect.engine_onnxruntime", "fp32"),
    "opencv": ("dp2.detect.engine_opencv", "fp32"),
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
    from dp2.detect.engine_onnxruntime import accelerators
    from dp2.detect.engine_openvino import has_bf16, has_int8

    pairs = [("openvino-bf16", "cpu")] if network.bf16 and has_bf16() else []
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
