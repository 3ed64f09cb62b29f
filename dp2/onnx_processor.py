"""ONNX graphs on the processor: in OpenVINO, or, where that is not installed, in ONNX Runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import EngineError, UsageError
from dp2.weights.onnx_files import admit

Array = NDArray[np.float32]
Run = Callable[[Mapping[str, Array]], Array]
"""From the graph's inputs by name to its only output; several threads may call it."""

ENGINES = ("auto", "openvino", "onnxruntime")


def on_processor(model: bytes, *, engine: str = "auto", bf16: bool = False, threads: int | None = None) -> Run:
    """Load a serialised model with one output.

    Args:
        engine: one of `ENGINES`.
        bf16: multiply in bfloat16 where the engine can; else in float32.
        threads: None = as the engine thinks best.

    Raises:
        EngineError: no engine loads it.
        UsageError: no engine of that name.
        UnsafeCheckpoint: no engine may have this network; see `dp2.weights.onnx_files`.
    """
    if engine not in ENGINES:
        raise UsageError(f"a network runs on the processor in one of {', '.join(ENGINES)}, not {engine}.")
    admit(model)
    if engine == "onnxruntime":
        return with_onnxruntime(model, threads=threads)
    try:
        return with_openvino(model, bf16=bf16, threads=threads)
    except EngineError as error:
        if engine == "openvino":
            raise
        try:
            return with_onnxruntime(model, threads=threads)
        except EngineError as other:
            raise EngineError(f"{error}; {other}") from error


def with_openvino(model: bytes, *, bf16: bool = False, threads: int | None = None) -> Run:
    """See `on_processor`."""
    from dp2.openvino import openvino_core

    core = openvino_core()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        request = compiled.create_infer_request()
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot load the network: {' '.join(str(error).split())[:300]}") from error
    busy = threading.Lock()

    def run(inputs: Mapping[str, Array]) -> Array:
        with busy:
            request.infer(dict(inputs), share_inputs=True)
            found: Array = request.get_output_tensor(0).data.copy()  # the next result comes into the same memory
        return found

    return run


def with_onnxruntime(model: bytes, *, threads: int | None = None) -> Run:
    """See `on_processor`."""
    from dp2.onnx_runtime import import_onnxruntime

    onnxruntime = import_onnxruntime()
    settings = onnxruntime.SessionOptions()
    if threads is not None:
        settings.intra_op_num_threads = settings.inter_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base of their own
        raise EngineError(f"ONNX Runtime cannot load the network: {' '.join(str(error).split())[:300]}") from error

    def run(inputs: Mapping[str, Array]) -> Array:
        found: Array = session.run(None, dict(inputs))[0]
        return found

    return run
