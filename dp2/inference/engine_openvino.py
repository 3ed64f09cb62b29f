"""OpenVINO: the fastest engine on x86 processors."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import EngineError, one_line
from dp2.inference.network import Chosen, Network
from dp2.inference.openvino import import_openvino, openvino_core
from dp2.inference.quantize import quantize


@cache
def has_bf16() -> bool:
    """Whether OpenVINO is installed and this processor computes bf16 in hardware (AMX or AVX512_BF16)."""
    if importlib.util.find_spec("openvino") is None:
        return False
    try:
        return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except (EngineError, RuntimeError):
        return False


def has_int8() -> bool:
    """Whether OpenVINO is installed and this processor has integer dot products (AVX512_VNNI).

    Older x86 processors add pairs of products in 16 bits, which overflow: faces would be lost.
    """
    import cv2

    return importlib.util.find_spec("openvino") is not None and cv2.checkHardwareSupport(_AVX512_CLX)


class OpenVinoEngine:
    """One compiled network and one request.

    The axes stay free: a new shape costs 0.15 s once, a network compiled for one fixed shape is not faster. Frames of
    a batch run one after the other, because on a processor a batch of four takes 10 % longer than four frames: its
    activations fall out of the cache. Two requests side by side do not gain either.
    """

    def __init__(self, network: Network, precision: str) -> None:
        ov, core = import_openvino(), openvino_core()
        model = core.read_model(network.model)
        if precision == "int8":
            if network.ranges is None:
                raise EngineError("this network has no measured ranges for int8: name another engine")
            model = quantize(ov, model, network.ranges)
        if network.pixels:
            model = _with_pixel_input(ov, model)
        # OpenVINO would take bf16 or f16 by itself wherever the processor has it
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _PRECISIONS[precision]}
        if network.threads is not None:
            config["INFERENCE_NUM_THREADS"] = network.threads
        compiled = core.compile_model(model, "CPU", config)
        got = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if got != _PRECISIONS[precision]:
            raise EngineError(f"OpenVINO on this processor computes {got}, not {precision}: name another engine")
        self._together = network.together
        self._outputs = [compiled.output(name) for name in network.outputs] or list(compiled.outputs)
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()
        engine = "openvino" if precision == "fp32" else f"openvino-{precision}"
        self.chosen = Chosen(engine, ov.__version__.split("-")[0], "CPU", precision)

    def run(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """See `Engine.run`."""
        step = len(batch) if self._together else 1
        with self._lock:
            try:
                rows = [self._run_some(batch[i : i + step]) for i in range(0, len(batch), step)]
            except RuntimeError as error:
                raise EngineError(f"OpenVINO failed on input {batch.shape}: {one_line(error)}") from error
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    def run_named(self, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """See `Engine.run_named`."""
        with self._lock:
            try:
                return self._infer(dict(inputs))
            except RuntimeError as error:
                raise EngineError(f"OpenVINO failed: {one_line(error)}") from error

    def _run_some(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        return self._infer({0: np.ascontiguousarray(batch)})

    def _infer(self, inputs: Mapping[Any, NDArray[Any]]) -> list[NDArray[np.float32]]:
        self._request.infer(dict(inputs), share_inputs=True)
        # The request writes its next result into the same memory
        return [self._request.get_tensor(output).data.astype(np.float32, copy=True) for output in self._outputs]


_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # of what is not quantized
_AVX512_CLX = 261  # OpenCV's CPU_AVX512_CLX: Cascade Lake and newer


def _with_pixel_input(ov: Any, model: Any) -> Any:
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    return steps.build()


def load(network: Network, device: str, precision: str) -> OpenVinoEngine:
    """Load a network; see `dp2.inference.engine.load_engine`."""
    if device not in ("auto", "cpu"):
        raise EngineError(f"OpenVINO runs here on cpu, not on {device}: take engine onnxruntime for it")
    try:
        return OpenVinoEngine(network, precision)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot load the network: {one_line(error)}") from error
