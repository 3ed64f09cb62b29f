"""The one door for ONNX networks: nothing that is not in the file, nothing that runs for ever, nothing out of bounds.

Engines follow references to other files, run loops and load whatever operators a file names. So every network is looked
through before one gets it: by `load_engine` and `on_processor`, and with its file's name where it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dp2.errors import EngineError, UnreadableCheckpoint, UnsafeCheckpoint
from dp2.failures import said
from dp2.weights.limits import check_file

if TYPE_CHECKING:
    import onnx

LARGEST_FILE = 1 << 30  # bytes; YOLOX-x has 400 MB
_MOST_NODES = 20_000
_MOST_FIELDS = 400_000  # of the file's structure: empty ones take two bytes there and a hundred in memory
_LARGEST_NUMBER = 1 << 16  # of an attribute: strides, paddings, kernel sides
_LARGEST_SHAPE = 1 << 28  # numbers
_GROWTH = 1 << 16  # by which consecutive layers may enlarge an area: from 4x4 to 1024x1024
# fmt: off
_OPERATORS = frozenset((
    "Abs", "Add", "And", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip",
    "Concat", "Constant", "ConstantOfShape", "Conv", "ConvTranspose", "Cos", "DepthToSpace", "Div", "Dropout",
    "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements",
    "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample",
    "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "MatMul", "Max", "MaxPool", "Mean", "Min", "Mod",
    "Mul", "Neg", "Not", "Or", "PRelu", "Pad", "Pow", "Range", "Reciprocal", "ReduceL2", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize",
    "Round", "ScatterElements", "ScatterND", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice",
    "Softmax", "Softplus", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile", "TopK",
    "Transpose", "Trilu", "Unsqueeze", "Upsample", "Where",
))
# fmt: on
_DOMAINS = frozenset(("", "ai.onnx"))
_SIZED = ("Expand", "ConstantOfShape", "Tile", "Pad", "Resize", "Upsample", "Reshape")  # by numbers among their inputs
# Numbers of the fields below which there are fields again (onnx.proto3): the model's graph, a graph's nodes and
# tensors, a node's attributes, an attribute's tensor.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE = {7: "graph"}, {1: "node", 5: "tensor"}, {5: "attribute"}, {5: "tensor"}
_BELOW: dict[str, dict[int, str]] = {
    "model": _MODEL, "graph": _GRAPH, "node": _NODE, "attribute": _ATTRIBUTE, "tensor": {},
}  # fmt: skip


def read_onnx(path: Path) -> bytes:
    """A checked ONNX file, ready for an inference engine.

    Raises:
        MissingWeights: there is no such file.
        UnsafeCheckpoint: it draws on other files, or holds operators or sizes that no network here has.
        UnreadableCheckpoint: it is no valid ONNX model.
    """
    if check_file(path) > LARGEST_FILE:
        raise UnsafeCheckpoint(f"{path}: is larger than any network here.")
    data = path.read_bytes()
    parse_onnx(data, path)
    return data


def parse_onnx(data: bytes, path: Path) -> onnx.ModelProto:
    """The network in a file's bytes, checked as of `read_onnx`, also by ONNX's own checker."""
    import onnx

    model = check_onnx(data, str(path))
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # of the checker, or of protobuf, whose classes differ between versions
        raise UnreadableCheckpoint(f"{path}: is no valid ONNX model ({said(error)}).") from error
    return model


def admit(model: bytes) -> None:
    """As `check_onnx`, for engines, which get networks of any origin.

    Raises:
        UnsafeCheckpoint: no engine may have it.
        EngineError: it is no network.
    """
    try:
        check_onnx(model, "the network")
    except UnreadableCheckpoint as error:
        raise EngineError(str(error)) from error


def check_onnx(data: bytes, what: str) -> onnx.ModelProto:
    """Make sure that an engine may have a network.

    Args:
        data: the serialised model.
        what: the file or network, for messages.

    Raises:
        UnsafeCheckpoint, UnreadableCheckpoint: as of `read_onnx`.
    """
    import onnx

    try:
        fields = _count_fields(memoryview(data), "model", _MOST_FIELDS)
        model = onnx.ModelProto.FromString(data) if fields < _MOST_FIELDS else None
    except Exception as error:
        raise UnreadableCheckpoint(f"{what}: not an ONNX file ({said(error)}).") from error
    if model is None:
        raise UnsafeCheckpoint(f"{what}: holds more parts than any network here.")
    fault = next(_faults(model), None)
    if fault is not None:
        raise UnsafeCheckpoint(f"{what}: {fault}. Nothing of it was run.")
    return model


def _faults(model: onnx.ModelProto) -> Iterator[str]:
    graph = model.graph
    if model.functions or model.training_info:
        yield "defines functions or training steps; only plain networks are read"
    strange = sorted({entry.domain for entry in model.opset_import} - _DOMAINS)
    if strange:
        yield f"needs operators of {strange[0][:60]}"
    if len(graph.node) > _MOST_NODES:
        yield f"has {len(graph.node)} operators; at most {_MOST_NODES} are read"
    if graph.sparse_initializer:
        yield "holds sparse weights"
    for node in graph.node:
        yield from _node_faults(node)
    tensors = [*graph.initializer, *(a.t for node in graph.node for a in node.attribute if a.HasField("t"))]
    for tensor in tensors:
        yield from _tensor_faults(tensor)
    yield from _size_faults(graph)


def _node_faults(node: onnx.NodeProto) -> Iterator[str]:
    if node.domain not in _DOMAINS or node.op_type not in _OPERATORS:
        yield f"uses the operator {node.domain[:40]}{'.' if node.domain else ''}{node.op_type[:40]}"
    for attribute in node.attribute:
        kinds = ("g", "sparse_tensor", "tp")
        lists = (attribute.graphs, attribute.sparse_tensors, attribute.type_protos, attribute.tensors)
        if any(attribute.HasField(kind) for kind in kinds) or any(lists) or attribute.ref_attr_name:
            yield f"has a {node.op_type[:40]} with a graph of its own"
        numbers = (*attribute.ints, attribute.i)
        if node.op_type != "Slice" and any(abs(number) > _LARGEST_NUMBER for number in numbers):
            yield f"has a {node.op_type[:40]} with {attribute.name[:40]} out of bounds"


def _tensor_faults(tensor: onnx.TensorProto) -> Iterator[str]:
    from onnx import TensorProto

    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        yield "draws its weights from other files; only self-contained models are read"
    stored = len(tensor.raw_data) + sum(
        len(field)
        for field in (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    )
    if any(side < 0 for side in tensor.dims) or len(tensor.dims) > 16 or prod(tensor.dims) > 2 * stored:  # 4 bits
        yield f"holds the tensor {tensor.name[:40]}, which is larger than its bytes"


def _size_faults(graph: onnx.GraphProto) -> Iterator[str]:
    """Shapes and factors that are constants; what a network computes them from is not followed."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant" and node.output
        for attribute in node.attribute
        if attribute.HasField("t")
    }
    growth: dict[str, float] = {}  # of each value, along the path that enlarges it most
    for node in graph.node:
        factor = _product(n for a in node.attribute if a.name == "scales" for n in a.floats)
        if node.op_type == "ConvTranspose":
            factor *= prod(max(1, n) for a in node.attribute if a.name == "strides" for n in a.ints)
        sizes = node.input[0 if node.op_type == "ConstantOfShape" else 1 :] if node.op_type in _SIZED else ()
        for name in sizes:
            numbers = [float(abs(value)) for value in _values(constants.get(name))]
            if not all(number < _LARGEST_SHAPE for number in numbers):  # not a number, too
                yield f"has a {node.op_type} with a size out of bounds"
            size = _product(numbers)
            if size > _LARGEST_SHAPE:
                yield f"has a {node.op_type} to {size:.0f} numbers"
            if node.op_type == "Tile" or (node.op_type in ("Resize", "Upsample") and _is_float(constants.get(name))):
                factor *= size
        most = factor * max((growth.get(name, 1.0) for name in node.input), default=1.0)
        if not most <= _GROWTH:
            yield f"enlarges a picture {most:.3g}-fold"
        growth |= dict.fromkeys(node.output, most)


def _values(tensor: onnx.TensorProto | None) -> Iterable[Any]:
    """Of a small constant; weights are no sizes."""
    from onnx import numpy_helper

    if tensor is None or prod(tensor.dims) > 32:
        return ()
    values: Iterable[Any] = numpy_helper.to_array(tensor).reshape(-1).tolist()
    return (value for value in values if isinstance(value, (int, float)))


def _is_float(tensor: onnx.TensorProto | None) -> bool:
    return tensor is not None and tensor.data_type in (1, 10, 11, 16)  # float, half, double, bfloat16


def _product(numbers: Iterable[float]) -> float:
    """Of those above 1."""
    return float(prod(max(1.0, number) for number in numbers))


def _count_fields(data: memoryview, kind: str, most: int) -> int:
    """How many fields a message and those below it have, by its wire format; counting ends at `most`.

    Raises:
        ValueError: it is no such message.
    """
    count, at, below = 0, 0, _BELOW[kind]
    while at < len(data) and count < most:
        tag, at = _varint(data, at)
        count += 1
        wire = tag & 7
        if wire == 0:
            _, at = _varint(data, at)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("it ends in the middle")
            inner = below.get(tag >> 3)
            if inner is not None:
                count += _count_fields(data[at : at + length], inner, most - count)
            at += length
        else:
            raise ValueError("not ONNX")
    return count


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number and where the next thing begins."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("it ends in the middle")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
