"""TensorFlow Lite files: what a small convolutional network in one is made of. Nothing in a file is executed.

The layout is that of FlatBuffers (https://flatbuffers.dev/internals) with TensorFlow Lite's `schema.fbs`, version 3;
slots and codes below are the schema's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dp2.errors import UnreadableCheckpoint

_IDENTIFIER = b"TFL3"
_DTYPES: Mapping[int, str] = {0: "<f4", 1: "<f2", 2: "<i4"}
_OPERATORS: Mapping[int, str] = {
    0: "ADD",
    1: "AVERAGE_POOL_2D",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    6: "DEQUANTIZE",
    14: "LOGISTIC",
    18: "MUL",
    19: "RELU",
    23: "RESIZE_BILINEAR",
    117: "HARD_SWISH",
}
_CUSTOM = 32


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """Attributes: shape, NHWC for images; `data` of that shape as stored (f4, f2 or i4), None if it is computed."""

    shape: tuple[int, ...]
    data: NDArray[np.generic] | None


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One step of the network.

    Attributes:
        name: the schema's, or that of a custom operator.
        inputs, outputs: indices of tensors, -1 = left out.
        options: of a built-in operator; empty if it has none.
        custom: options of a custom operator.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table
    custom: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A network: operators in the order in which they run; inputs and outputs are indices of `tensors`."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A FlatBuffers table; a field that the file leaves out has its default.

    Attributes:
        data: the whole file.
        start: of the table; 0 = an empty one.
    """

    data: bytes
    start: int = 0

    def integer(self, slot: int, default: int = 0, layout: str = "<i") -> int:
        at = self._field(slot)
        return default if at is None else int(_unpack(layout, self.data, at))

    def flag(self, slot: int) -> bool:
        return bool(self.integer(slot, layout="<B"))

    def table(self, slot: int) -> Table:
        at = self._field(slot)
        return Table(self.data) if at is None else Table(self.data, at + _unpack("<I", self.data, at))

    def tables(self, slot: int) -> list[Table]:
        start, count = self._vector(slot, 4)
        places = range(start, start + 4 * count, 4)
        return [Table(self.data, place + _unpack("<I", self.data, place)) for place in places]

    def integers(self, slot: int) -> tuple[int, ...]:
        start, count = self._vector(slot, 4)
        return struct.unpack_from(f"<{count}i", self.data, start)

    def raw(self, slot: int) -> bytes:
        start, count = self._vector(slot, 1)
        return self.data[start : start + count]

    def _vector(self, slot: int, width: int) -> tuple[int, int]:
        """Where the elements of a vector begin, and how many there are."""
        at = self._field(slot)
        if at is None:
            return 0, 0
        start = at + _unpack("<I", self.data, at)
        count = _unpack("<I", self.data, start)
        if start + 4 + count * width > len(self.data):
            raise ValueError("a vector ends beyond the file")
        return start + 4, count

    def _field(self, slot: int) -> int | None:
        if not self.start:
            return None
        layout = self.start - _unpack("<i", self.data, self.start)
        if layout < 0:
            raise ValueError("a table's layout lies before the file")
        place = 4 + 2 * slot
        if place >= _unpack("<H", self.data, layout):
            return None
        offset = _unpack("<H", self.data, layout + place)
        return self.start + offset if offset else None


def read_tflite(data: bytes, path: Path) -> Graph:
    """The network in a TensorFlow Lite file.

    Args:
        data: the file's content.
        path: of the file, for messages.

    Raises:
        UnreadableCheckpoint: it is no such file, it is damaged, or it holds what a small float network does not:
            several graphs, quantized tensors, other operators.
    """
    if data[4:8] != _IDENTIFIER:
        raise UnreadableCheckpoint(f"{path}: not a TensorFlow Lite file; fetch it again.")
    try:
        return _read(Table(data, _unpack("<I", data, 0)))
    except (ValueError, IndexError, struct.error) as error:
        raise UnreadableCheckpoint(f"{path}: damaged, or not a float network ({error}); fetch it again.") from error


def _read(model: Table) -> Graph:
    graphs = model.tables(2)
    if len(graphs) != 1:
        raise ValueError(f"{len(graphs)} graphs instead of one")
    names = [_operator_name(code) for code in model.tables(1)]
    buffers = model.tables(4)
    tensors = tuple(_tensor(tensor, buffers) for tensor in graphs[0].tables(0))
    operators = tuple(_operator(operator, names, len(tensors)) for operator in graphs[0].tables(3))
    inputs, outputs = (_indices(graphs[0].integers(slot), 0, len(tensors)) for slot in (1, 2))
    return Graph(tensors, operators, inputs, outputs)


def _operator_name(code: Table) -> str:
    # Codes up to 126 once had a byte of their own; either field may be the one that is set
    number = max(code.integer(0, layout="<b"), code.integer(3))
    if number == _CUSTOM:
        return code.raw(1).decode("ascii")
    if number not in _OPERATORS:
        raise ValueError(f"operator {number} is unknown")
    return _OPERATORS[number]


def _tensor(tensor: Table, buffers: list[Table]) -> Tensor:
    shape = tensor.integers(0)
    dtype = _DTYPES.get(tensor.integer(1, layout="<b"))
    if dtype is None or any(side < 1 for side in shape):
        raise ValueError(f"a tensor of type {tensor.integer(1, layout='<b')} and shape {shape}")
    raw = buffers[_indices((tensor.integer(2, layout="<I"),), 0, len(buffers))[0]].raw(0)
    if not raw:
        return Tensor(shape, None)
    values = np.frombuffer(raw, dtype)
    if values.size != prod(shape):
        raise ValueError(f"{values.size} values for shape {shape}")
    return Tensor(shape, values.reshape(shape))


def _operator(operator: Table, names: list[str], count: int) -> Operator:
    code = _indices((operator.integer(0, layout="<I"),), 0, len(names))[0]
    return Operator(
        names[code],
        _indices(operator.integers(1), -1, count),
        _indices(operator.integers(2), 0, count),
        operator.table(4),
        operator.raw(5),
    )


def _indices(values: tuple[int, ...], least: int, count: int) -> tuple[int, ...]:
    if any(not least <= value < count for value in values):
        raise ValueError(f"an index in {values} leads out of the file")
    return values


def _unpack(layout: str, data: bytes, at: int) -> int:
    """One number; `struct.error` beyond the file's end."""
    value: int = struct.unpack_from(layout, data, at)[0]
    return value
