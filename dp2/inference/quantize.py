"""Convolutions in 8 bits: an OpenVINO network whose activations lie in ranges that were measured beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.inference.openvino import openvino_core

Ranges = Mapping[str, tuple[float, float]]  # name of a tensor in the ONNX file → least and largest value
_KINDS = {"Convolution": 1, "GroupConvolution": 2}  # → number of axes of the weights that count output channels
_SEEN = 200_000  # values of a tensor that are looked at for a quantile


def quantize(ov: Any, model: Any, ranges: Ranges) -> Any:
    """Let every convolution whose input has a range compute in 8 bits; all others stay as they are.

    Fake quantization as in Jacob et al. 2018 (arXiv 1712.05877): activations on 256 levels per tensor, weights on 255
    levels per output channel; OpenVINO then takes its integer kernels.

    Args:
        ov: the `openvino` module.
        model: an OpenVINO model that was read from ONNX, in float32; changed in place.
        ranges: from `measure`.

    Returns:
        the model.
    """
    quantized: dict[str, Any] = {}
    for convolution, source, name in _convolutions(model):
        if name not in ranges:
            continue
        if name not in quantized:
            quantized[name] = _on_levels(ov, source, *_grid(*ranges[name]), 256)
        convolution.input(0).replace_source_output(quantized[name].output(0))
        weights = _weights(convolution.input_value(1).get_node())
        axes = tuple(range(_KINDS[convolution.get_type_name()], weights.ndim))
        largest = np.maximum(np.abs(weights).max(axis=axes, keepdims=True), np.finfo(np.float32).tiny)
        on_levels = _on_levels(ov, ov.opset13.constant(weights), -largest, largest, 255)
        convolution.input(1).replace_source_output(on_levels.output(0))
    model.validate_nodes_and_infer_types()
    return model


def measure(ov: Any, model: Any, batches: Iterable[NDArray[np.float32]], quantile: float = 0.9999) -> Ranges:
    """Ranges of the inputs of all convolutions over typical images.

    Args:
        ov: the `openvino` module.
        model: as for `quantize`.
        batches: (N, C, H, W) each.
        quantile: what is larger in a batch is cut off: rare peaks would cost all others their resolution.
    """
    sources = {name: source for _, source, name in _convolutions(model)}
    taps = ov.Model([ov.opset13.result(source) for source in sources.values()], model.get_parameters())
    compiled = openvino_core().compile_model(taps, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ranges = dict.fromkeys(sources, (0.0, 0.0))
    for batch in batches:
        results = compiled(batch)
        for index, (name, (low, high)) in enumerate(ranges.items()):
            values = results[index].ravel()
            values = values[:: max(1, values.size // _SEEN)]
            least, most = np.quantile(values, [1 - quantile, quantile])
            ranges[name] = (min(low, float(least)), max(high, float(most)))
    return ranges


def _convolutions(model: Any) -> list[tuple[Any, Any, str]]:
    """Each convolution with where its input comes from and the name of that tensor."""
    found = []
    for node in model.get_ordered_ops():
        if node.get_type_name() in _KINDS:
            source = node.input_value(0)
            found.append((node, source, min(source.get_names(), default="")))
    return found


def _weights(node: Any) -> NDArray[np.float32]:
    """The values of a constant, or of one that is reshaped for groups."""
    if node.get_type_name() == "Reshape":
        return _weights(node.input_value(0).get_node()).reshape(tuple(node.get_output_shape(0)))
    return np.asarray(node.data, np.float32)


def _grid(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ends of 256 levels of which one is exactly 0, as padding is."""
    if low < 0:
        high = max(-low, high)
        low = -high * 128 / 127
    return np.full((1, 1, 1, 1), low, np.float32), np.full((1, 1, 1, 1), high, np.float32)


def _on_levels(ov: Any, source: Any, low: NDArray[np.float32], high: NDArray[np.float32], levels: int) -> Any:
    ends = [ov.opset13.constant(end) for end in (low, high)]
    return ov.opset13.fake_quantize(source, *ends, *ends, levels)
