"""An ONNX graph that grows node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dp2.weights.tables import CheckpointArrays

if TYPE_CHECKING:
    import onnx

_OPSET = 16
Shape = tuple[int | str, ...]
"""Sides of a tensor; a name stands for one that is free."""


class OnnxNodes:
    """The nodes and constants made so far, for a class that knows a network to build on."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def _constant(self, value: NDArray[np.floating]) -> str:
        """The name of a new constant, float32."""
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def _whole_number(self, value: int) -> str:
        """The name of a new constant without axes, int64."""
        return self._integers(np.array(value, np.int64))

    def _whole_numbers(self, values: Sequence[int]) -> str:
        """The name of a new constant, int64."""
        return self._integers(np.array(values, np.int64))

    def _integers(self, values: NDArray[np.int64]) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def _add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """The name of the result of a new node."""
        from onnx import helper

        name = f"tensor{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name


class CheckpointNodes(OnnxNodes):
    """A graph made from a checkpoint, every array of which has to find its place."""

    def __init__(self, arrays: CheckpointArrays) -> None:
        super().__init__()
        self._arrays = arrays

    def _serialised(
        self, inputs: Mapping[str, tuple[int, ...]], output: str, shape: tuple[int, ...], name: str
    ) -> bytes:
        """A whole model with one output, float32.

        Args:
            inputs: name → shape.
            output: name of the tensor that is given out.
            shape: of it.
            name: that it is given out under.

        Raises:
            CheckpointMismatch: an array found no place.
        """
        return self._model(inputs, {name: (output, shape)})

    def _model(self, inputs: Mapping[str, Shape], outputs: Mapping[str, tuple[str, Shape]]) -> bytes:
        """A whole model, float32.

        Args:
            inputs: name → shape.
            outputs: name → the tensor that is given out under it, and its shape.

        Raises:
            CheckpointMismatch: an array found no place.
        """
        from onnx import TensorProto, helper

        self._arrays.check_taken()
        self._nodes += [helper.make_node("Identity", [tensor], [name]) for name, (tensor, _) in outputs.items()]
        graph = helper.make_graph(
            self._nodes,
            "network",
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, size) for key, size in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, (_, shape) in outputs.items()],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
        serialised: bytes = model.SerializeToString()
        return serialised
