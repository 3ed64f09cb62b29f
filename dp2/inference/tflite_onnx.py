"""A small convolutional network from a TensorFlow Lite file as ONNX, so that the fastest engine here runs it.

No engine of ours reads MediaPipe's files: OpenVINO's reader knows no `Convolution2DTransposeBias`, and the runtime of
TensorFlow Lite itself is fixed to one picture a call and would be one more dependency.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.inference.onnx_nodes import OnnxNodes
from dp2.weights.formats.tflite import Graph, Operator

_OPSET = 14  # the first with HardSwish
_ACTIVATIONS = {0: None, 1: "Relu"}
_SAME = 0
_CUSTOM_SAME = 1  # the numbering of TensorFlow Lite's C structures, which custom options hold

# Slots of the schema's options: padding, stride x and y, fused activation, dilation x and y
_CONV = (0, 1, 2, 3, 4, 5)
_DEPTHWISE = (0, 1, 2, 4, 5, 6)


def to_onnx(graph: Graph, *, scale: float = 1.0, batch: int | None = None) -> bytes:
    """A serialised ONNX model with input "pixels" (N, C, H, W) and outputs "output0", … (N, C, H, W), float32.

    Args:
        graph: takes one (1, H, W, C) picture; its outputs have four axes.
        scale: factor on the input before the network sees it.
        batch: pictures a call; None = any number.

    Raises:
        ValueError: an operator has options that are not supported, or shapes that do not fit.
    """
    return _Converter(graph, batch or "N").model(scale)


class _Converter(OnnxNodes):
    """The nodes made so far, and the names of the tensors' twins, all (N, C, H, W)."""

    def __init__(self, graph: Graph, batch: int | str) -> None:
        super().__init__()
        self._graph = graph
        self._batch = batch
        self._values = {index: tensor.data for index, tensor in enumerate(graph.tensors) if tensor.data is not None}
        self._names: dict[int, str] = {}

    def model(self, scale: float) -> bytes:
        from onnx import TensorProto, helper

        source = self._graph.inputs[0]
        self._names[source] = self._add("Mul", ["pixels", self._constant(np.array([scale], np.float32))])
        for operator in self._graph.operators:
            self._convert(operator)
        outputs = [f"output{number}" for number in range(len(self._graph.outputs))]
        for index, name in zip(self._graph.outputs, outputs, strict=True):
            self._nodes.append(helper.make_node("Identity", [self._names[index]], [name]))
        made = helper.make_graph(
            self._nodes,
            "tflite",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, self._shape(source))],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, self._shape(index))
                for index, name in zip(self._graph.outputs, outputs, strict=True)
            ],
            self._constants,
        )
        ready = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
        serialised: bytes = ready.SerializeToString()
        return serialised

    def _convert(self, operator: Operator) -> None:
        if operator.name == "DEQUANTIZE":  # weights in half precision
            self._values[operator.outputs[0]] = self._value(operator.inputs[0]).astype(np.float32)
            return
        if operator.name not in _STEPS:
            raise ValueError(f"operator {operator.name} is unknown")
        self._names[operator.outputs[0]] = _STEPS[operator.name](self, operator)

    def _simple(self, operator: Operator) -> str:
        return self._add(_SIMPLE[operator.name], [self._name(index) for index in operator.inputs])

    def _arithmetic(self, operator: Operator) -> str:
        return self._activated(self._simple(operator), operator.options.integer(0, layout="<b"))

    def _conv(self, operator: Operator) -> str:
        weights = self._value(operator.inputs[1]).astype(np.float32)  # [out, h, w, in]
        return self._convolved(operator, weights.transpose(0, 3, 1, 2), 1, _CONV)

    def _depthwise(self, operator: Operator) -> str:
        weights = self._value(operator.inputs[1]).astype(np.float32)  # [1, h, w, out]
        groups = self._graph.tensors[operator.inputs[0]].shape[3]
        return self._convolved(operator, weights.transpose(3, 0, 1, 2), groups, _DEPTHWISE)

    def _convolved(self, operator: Operator, weights: NDArray[np.float32], groups: int, slots: tuple[int, ...]) -> str:
        options = operator.options
        padding, activation = (options.integer(slots[place], layout="<b") for place in (0, 3))
        strides = [options.integer(slots[2], 1), options.integer(slots[1], 1)]
        dilations = [options.integer(slots[5], 1), options.integer(slots[4], 1)]
        reach = [(side - 1) * step + 1 for side, step in zip(weights.shape[2:], dilations, strict=True)]
        inputs = [self._name(operator.inputs[0]), self._constant(weights), *self._bias(operator)]
        pads = self._pads(operator, reach, strides) if padding == _SAME else [0, 0, 0, 0]
        made = self._add("Conv", inputs, group=groups, strides=strides, dilations=dilations, pads=pads)
        return self._activated(made, activation)

    def _transposed(self, operator: Operator) -> str:
        """MediaPipe's transposed convolution with a bias."""
        padding, stride_x, stride_y = struct.unpack_from("<3i", operator.custom)
        weights = self._value(operator.inputs[1]).astype(np.float32)  # [out, h, w, in]
        if padding == _CUSTOM_SAME and weights.shape[1:3] != (stride_y, stride_x):
            raise ValueError("a transposed convolution whose steps overlap")
        inputs = [self._name(operator.inputs[0]), self._constant(weights.transpose(3, 0, 1, 2))]
        return self._add("ConvTranspose", [*inputs, *self._bias(operator)], strides=[stride_y, stride_x])

    def _average(self, operator: Operator) -> str:
        options = operator.options
        strides, window = ([options.integer(slot, 1) for slot in slots] for slots in ((2, 1), (4, 3)))
        same = options.integer(0, layout="<b") == _SAME
        pads = self._pads(operator, window, strides) if same else [0, 0, 0, 0]
        name = self._name(operator.inputs[0])
        made = self._add("AveragePool", [name], kernel_shape=window, strides=strides, pads=pads)
        return self._activated(made, options.integer(5, layout="<b"))

    def _resize(self, operator: Operator) -> str:
        if operator.options.flag(2):
            mode = "align_corners"
        else:
            mode = "half_pixel" if operator.options.flag(3) else "asymmetric"
        before, after = (self._graph.tensors[index].shape for index in (operator.inputs[0], operator.outputs[0]))
        factors = [1, 1, after[1] / before[1], after[2] / before[2]]  # not sizes: those would fix the batch
        inputs = [self._name(operator.inputs[0]), "", self._constant(np.array(factors, np.float32))]
        return self._add("Resize", inputs, mode="linear", coordinate_transformation_mode=mode)

    def _pads(self, operator: Operator, reach: list[int], strides: list[int]) -> list[int]:
        """TensorFlow's "same": what is odd goes to the bottom and right."""
        sides = self._graph.tensors[operator.inputs[0]].shape[1:3]
        steps = zip(sides, reach, strides, strict=True)
        total = [max((-(-side // step) - 1) * step + window - side, 0) for side, window, step in steps]
        return [total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2]

    def _bias(self, operator: Operator) -> list[str]:
        given = len(operator.inputs) > 2 and operator.inputs[2] >= 0
        return [self._constant(self._value(operator.inputs[2]).astype(np.float32))] if given else []

    def _activated(self, name: str, activation: int) -> str:
        if activation not in _ACTIVATIONS:
            raise ValueError(f"fused activation {activation} is unknown")
        kind = _ACTIVATIONS[activation]
        return name if kind is None else self._add(kind, [name])

    def _name(self, index: int) -> str:
        """Of a computed tensor, or of a constant operand."""
        if index not in self._names:
            value = self._value(index).astype(np.float32)
            wide = value.reshape((1,) * (4 - value.ndim) + value.shape)
            self._names[index] = self._constant(wide.transpose(0, 3, 1, 2))
        return self._names[index]

    def _value(self, index: int) -> NDArray[Any]:
        if index not in self._values:
            raise ValueError(f"tensor {index} is used before it is there")
        return self._values[index]

    def _shape(self, index: int) -> list[str | int]:
        _, height, width, channels = self._graph.tensors[index].shape
        return [self._batch, channels, height, width]


_SIMPLE = {"ADD": "Add", "MUL": "Mul", "LOGISTIC": "Sigmoid", "RELU": "Relu", "HARD_SWISH": "HardSwish"}
_STEPS: Mapping[str, Callable[[_Converter, Operator], str]] = {
    "ADD": _Converter._arithmetic,
    "MUL": _Converter._arithmetic,
    "LOGISTIC": _Converter._simple,
    "RELU": _Converter._simple,
    "HARD_SWISH": _Converter._simple,
    "CONV_2D": _Converter._conv,
    "DEPTHWISE_CONV_2D": _Converter._depthwise,
    "AVERAGE_POOL_2D": _Converter._average,
    "RESIZE_BILINEAR": _Converter._resize,
    "Convolution2DTransposeBias": _Converter._transposed,
}
