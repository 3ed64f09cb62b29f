"""One door for checkpoints of every published format. They are untrusted input: nothing in them is ever executed."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dp2.errors import MissingWeights, UnreadableCheckpoint, UnsafeCheckpoint


def load_checkpoint(path: Path) -> Mapping[str, Any]:
    """The content of a safetensors, torch or detectron2 file, told apart by its first bytes, not by its name.

    Returns:
        as laid out in the file: names → tensors on the CPU, or → further mappings of them.

    Raises:
        MissingWeights: there is no such file.
        UnsafeCheckpoint: it holds something other than tensors and plain data; nothing of it was executed.
        UnreadableCheckpoint: it is damaged or of another format.
    """
    from dp2.weights.formats.torch_files import read_torch

    head = _head(path)
    if _is_torch(head):
        content = read_torch(path)
    elif head[8:9] == b"{":
        content = _read_safetensors(path)
    elif head.startswith((b"\x80", b"(", b"}", b"]", b"c")):
        content = read_detectron2(path)
    else:
        raise UnreadableCheckpoint(f"{path}: is neither a safetensors, nor a torch, nor a detectron2 file.")
    if not isinstance(content, Mapping):
        raise UnreadableCheckpoint(f"{path}: holds {type(content).__name__}, where named tensors are expected.")
    return content


def load_arrays(path: Path) -> Mapping[str, Any]:
    """As `load_checkpoint`, for a torch or safetensors file, with arrays in the place of tensors and without torch.

    Importing torch takes longer than running a small network over a short clip.

    Raises:
        MissingWeights, UnsafeCheckpoint, UnreadableCheckpoint: as `load_checkpoint`.
    """
    from dp2.weights.formats.inert_torch import read_arrays

    head = _head(path)
    if _is_torch(head):
        content = read_arrays(path)
    elif head[8:9] == b"{":
        content = _read_safetensors(path, arrays=True)
    else:
        raise UnreadableCheckpoint(f"{path}: is neither a safetensors nor a torch file.")
    if not isinstance(content, Mapping):
        raise UnreadableCheckpoint(f"{path}: holds {type(content).__name__}, where named tensors are expected.")
    return content


def read_detectron2(path: Path) -> Mapping[str, Any]:
    """The `.pkl` files of detectron2's model zoo, with arrays as tensors.

    Returns:
        `{"model": {key: tensor}, …}`; entries beside `model` as they are.

    Raises:
        UnsafeCheckpoint: it holds more than numeric arrays, dicts, texts and numbers; nothing of it was executed.
        UnreadableCheckpoint: it is damaged, or has no `model`.
    """
    from dp2.weights.formats.numpy_pickle import NUMPY_NAMES
    from dp2.weights.formats.pickles import read_pickle

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as source:
        content = read_pickle(source, NUMPY_NAMES, str(path))
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise UnreadableCheckpoint(f"{path}: is a pickle without detectron2's table `model`.")
    return {**content, "model": {str(key): _tensor(value, str(key), path) for key, value in model.items()}}


def read_onnx(path: Path) -> bytes:
    """A checked ONNX file, ready for an inference engine.

    Raises:
        MissingWeights: there is no such file.
        UnsafeCheckpoint: it draws tensors from other files.
        UnreadableCheckpoint: it is no valid ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    _head(path)
    data = path.read_bytes()
    try:
        model = onnx.load_model_from_string(data)
        outside = any(uses_external_data(tensor) for tensor in _get_all_tensors(model))
        if not outside:
            onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).strip().splitlines() or ["not ONNX"]
        raise UnreadableCheckpoint(f"{path}: is no valid ONNX model ({reason[0][:200]}).") from error
    if outside:
        raise UnsafeCheckpoint(f"{path}: draws its weights from other files; only self-contained models are read.")
    return data


def _is_torch(head: bytes) -> bool:
    from dp2.weights.formats.inert_torch import LEGACY_MAGIC

    return head.startswith((b"PK\x03\x04", LEGACY_MAGIC))


def _read_safetensors(path: Path, *, arrays: bool = False) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file as load_numpy

    try:
        if arrays:
            try:
                return {name: _plain(array) for name, array in load_numpy(path).items()}
            except (AttributeError, KeyError, TypeError):  # types that numpy does not know
                return {name: _array(tensor) for name, tensor in _read_safetensors(path).items()}
        from safetensors.torch import load_file

        tensors: Mapping[str, Any] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UnreadableCheckpoint(f"{path}: is no whole safetensors file ({error}).") from error
    return tensors


def _plain(array: Any) -> Any:
    """bfloat16 and the like, which ml_dtypes adds to numpy, as float32."""
    return array.astype("float32") if array.dtype.kind == "V" else array


def _array(tensor: Any) -> Any:
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _tensor(value: Any, key: str, path: Path) -> Any:
    import numpy as np
    import torch

    if not isinstance(value, (np.ndarray, np.number, np.bool_)):
        raise UnsafeCheckpoint(f"{path}: {key} is a {type(value).__name__}, where an array is expected.")
    native = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")  # a copy: it must be writable
    return torch.from_numpy(native)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        raise MissingWeights(f"{path}: the checkpoint cannot be read ({error.strerror}).") from error
    if not head:
        raise UnreadableCheckpoint(f"{path}: is empty.")
    return head
