"""How pickles describe NumPy arrays, rebuilt from the bytes without calling NumPy's own hooks."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import UnsafeCheckpoint
from dp2.weights.formats.pickles import Name, Pending

_PLAIN = re.compile(r"[<>|=]?[biufc]\d{1,2}")


def _dtype(text: Any, _align: Any = False, _copy: Any = False) -> Pending:
    """`numpy.dtype(text, align, copy)`; its byte order follows in the BUILD step."""
    text = _ascii(text)
    if not _PLAIN.fullmatch(text):
        raise UnsafeCheckpoint(f"holds an array of type {text!r}; only numbers are read. Nothing of it was executed.")
    plain = np.dtype(text)

    def build(state: Any) -> np.dtype[Any]:
        # (version, byte order, subarray, names, fields, …): only the byte order means anything for a number.
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise UnsafeCheckpoint("holds an array of a structured type. Nothing of it was executed.")
        order = _ascii(state[1])
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {order!r}")
        return plain if order == "|" else np.dtype(f"{order}{plain.kind}{plain.itemsize}")

    return Pending(build)


def _reconstruct(subtype: Any, _shape: Any, _kind: Any) -> Pending:
    """`numpy._core.multiarray._reconstruct(ndarray, (0,), b'b')`; everything follows in the BUILD step."""
    if not isinstance(subtype, Name) or subtype.text != "numpy.ndarray":
        raise UnsafeCheckpoint("holds an array of a foreign class. Nothing of it was executed.")

    def build(state: Any) -> NDArray[Any]:
        _, shape, dtype, is_fortran, raw = state
        return _array(raw, dtype, shape, "F" if is_fortran else "C")

    return Pending(build)


def _array(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> NDArray[Any]:
    if isinstance(raw, str):
        raw = raw.encode("latin-1")  # Python 2's bytes
    if not isinstance(raw, (bytes, bytearray)) or not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise UnsafeCheckpoint("holds an array of objects; only numbers are read. Nothing of it was executed.")
    sides = tuple(int(side) for side in shape)
    if any(side < 0 for side in sides) or math.prod(sides) * dtype.itemsize != len(raw):
        raise UnsafeCheckpoint(f"holds an array that claims the shape {sides} for {len(raw)} bytes.")
    return np.frombuffer(raw, dtype=dtype).reshape(sides, order="F" if order == "F" else "C")


def _scalar(dtype: Any, raw: Any) -> Any:
    return _array(raw, dtype, ())[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """`_codecs.encode`, by which Python 3 writes bytes into old pickle protocols."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafeCheckpoint("encodes a text in an unusual way. Nothing of it was executed.")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """`bytes()`, which is how old protocols write b""."""
    return b""


def _ascii(text: Any) -> str:
    return text.decode("ascii") if isinstance(text, bytes) else str(text)


def _table() -> dict[str, Name]:
    names = {
        "numpy.ndarray": Name("numpy.ndarray"),
        "numpy.dtype": Name("numpy.dtype", _dtype),
        "_codecs.encode": Name("_codecs.encode", _encode),
        "collections.OrderedDict": Name("collections.OrderedDict", OrderedDict),
    }
    for builtin in ("__builtin__", "builtins"):
        names[f"{builtin}.bytes"] = Name("bytes", _no_bytes)
    for core in ("numpy.core", "numpy._core"):  # before and since NumPy 2
        names[f"{core}.multiarray._reconstruct"] = Name("numpy reconstruct", _reconstruct)
        names[f"{core}.multiarray.scalar"] = Name("numpy scalar", _scalar)
        names[f"{core}.numeric._frombuffer"] = Name("numpy frombuffer", _array)
    return names


NUMPY_NAMES: Mapping[str, Name] = MappingProxyType(_table())
"""Names that pickles of numeric arrays use."""
