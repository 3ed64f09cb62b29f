"""Files of `torch.save`, from strangers: first by `torch.load(weights_only=True)`, else by an inert reader.

The published generators hold a dict of the class EasyDict under `train_state`, for which torch refuses the whole file.
The inert reader takes such classes, by name, for plain dicts; neither reader calls anything that a file names.
"""

from __future__ import annotations

import mmap
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dp2.errors import UnreadableCheckpoint, UnsafeCheckpoint
from dp2.weights.numpy_pickle import NUMPY_NAMES
from dp2.weights.pickles import Inert, Name, read_pickle

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch before 1.6 begins: the pickle of its magic number."""

HARMLESS = ("easydict.EasyDict", "dnnlib.util.EasyDict")
"""Dict classes that published checkpoints hold; read as plain dicts."""

_DAMAGE = (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, IndexError, struct.error)
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def read_torch(path: Path) -> Any:
    """What a file of `torch.save` holds, on the CPU.

    Raises:
        UnsafeCheckpoint: it holds more than tensors, plain data and the classes of `HARMLESS`, or claims memory that
            it does not fill. Nothing was executed.
        UnreadableCheckpoint: it is damaged.
    """
    legacy = _refuse_containers(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        content = _read_legacy(path) if legacy else _read_zip(path)
    except Exception as error:  # torch promises no kind of error for damaged files, and raises a dozen
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnreadableCheckpoint(f"{path}: is no whole torch file ({reason[0][:200]}).") from error
    _refuse_hollow_tensors(content, path)
    return content


def _refuse_containers(path: Path) -> bool:
    """Whether it is a legacy file; anything but that and an uncompressed zip of `torch.save` is refused unread."""
    if tarfile.is_tarfile(path):  # older torch executes pickles inside of these even with weights_only
        raise UnsafeCheckpoint(f"{path}: is a tar archive, which dp2 does not open. Nothing of it was executed.")
    with path.open("rb") as file:
        if file.read(len(LEGACY_MAGIC)) == LEGACY_MAGIC:
            return True
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except _DAMAGE as error:
        raise UnreadableCheckpoint(f"{path}: is no whole torch file ({error}).") from error
    if any(Path(member.filename).name == "constants.pkl" for member in members):
        raise UnsafeCheckpoint(f"{path}: is a TorchScript program, not weights. Nothing of it was executed.")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UnsafeCheckpoint(f"{path}: is a compressed archive, which torch never writes.")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UnsafeCheckpoint(f"{path}: claims more bytes than it has.")
    return False


def _read_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            listing = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(listing) != 1:
                raise UnreadableCheckpoint(f"{path}: holds {len(listing)} files data.pkl; one is expected.")
            root = listing[0].removesuffix("data.pkl")
            if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
                raise UnreadableCheckpoint(f"{path}: was saved on a big-endian machine; convert it there.")

            def load(key: str, _: int) -> bytes:
                return archive.read(f"{root}data/{key}")

            storages = _Storages(load, path)
            return read_pickle(BytesIO(archive.read(listing[0])), _names(), str(path), storages.persistent)
    except _DAMAGE as error:
        raise UnreadableCheckpoint(f"{path}: is no whole torch file ({error}).") from error


def _read_legacy(path: Path) -> Any:
    """Magic number, protocol, system, the object, the list of storage keys; then each storage: its length, its bytes.

    The storages come last, so the object is read twice: first to learn their types, then with them at hand.
    """
    with _mapped(path) as source:
        what = str(path)
        for _ in range(3):
            read_pickle(source, {}, what)
        start = source.tell()
        sizes: dict[str, int] = {}

        def measure(key: str, nbytes: int) -> bytes:
            sizes[key] = nbytes
            return b""

        read_pickle(source, _names(hollow=True), what, _Storages(measure, path, hollow=True).persistent)
        keys = read_pickle(source, {}, what)
        places: dict[str, tuple[int, int]] = {}
        position = source.tell()
        for key in keys:
            size = sizes.get(key)
            if size is None or position + 8 + size > len(source):
                raise UnreadableCheckpoint(f"{path}: ends before its storages do.")
            places[key] = (position + 8, size)
            position += 8 + size
        source.seek(start)

        def load(key: str, _: int) -> bytes:
            first, size = places[key]
            return source[first : first + size]

        return read_pickle(source, _names(), what, _Storages(load, path).persistent)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        yield mapping


class _Storages:
    """Turns a pickle's persistent identifiers into flat tensors, each storage read once."""

    def __init__(self, load: Callable[[str, int], bytes], path: Path, *, hollow: bool = False) -> None:
        self._load = load
        self._path = path
        self._hollow = hollow
        self._known: dict[str, Tensor] = {}

    def persistent(self, identifier: Any) -> Tensor:
        if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
            raise UnsafeCheckpoint(f"{self._path}: refers to something that is no storage. Nothing was executed.")
        _, kind, key, _, count = identifier[:5]
        if any(part is not None for part in identifier[5:]):
            raise UnreadableCheckpoint(f"{self._path}: holds views of storages, which only very old torch writes.")
        if not isinstance(kind, Name) or kind.text not in _STORAGES or not isinstance(count, int) or count < 0:
            raise UnsafeCheckpoint(f"{self._path}: holds a storage of an unknown type. Nothing was executed.")
        key = str(key)
        if key not in self._known:
            self._known[key] = self._tensor(key, _STORAGES[kind.text], count)
        return self._known[key]

    def _tensor(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        size = count * dtype.itemsize
        raw = self._load(key, size)
        if self._hollow or size == 0:
            return torch.empty(0, dtype=dtype)
        if len(raw) != size:
            raise UnsafeCheckpoint(f"{self._path}: storage {key} claims {size} bytes and has {len(raw)}.")
        return torch.frombuffer(bytearray(raw), dtype=dtype)


def _names(*, hollow: bool = False) -> Mapping[str, Name]:
    def rebuild(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
        if not isinstance(storage, Tensor):
            raise UnsafeCheckpoint("builds a tensor from something that is no storage. Nothing was executed.")
        return storage if hollow else _view(storage, offset, tuple(size), tuple(stride))

    def parameter(data: Any, *_: Any) -> Any:
        return data

    names = dict(NUMPY_NAMES)
    names["torch._utils._rebuild_tensor"] = Name("tensor", rebuild)
    names["torch._utils._rebuild_tensor_v2"] = Name("tensor", rebuild)
    names["torch._utils._rebuild_parameter"] = Name("parameter", parameter)
    names["torch.Size"] = Name("torch.Size", tuple)
    names |= {f"torch.{storage}": Name(storage) for storage in _STORAGES}
    names |= {harmless: Name(harmless, Inert) for harmless in HARMLESS}
    return names


def _view(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """`torch.as_strided` within the storage's bounds, without the stretching by stride 0 that claims memory."""
    sane = len(size) == len(stride) and all(isinstance(n, int) and n >= 0 for n in (offset, *size, *stride))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if sane else -1
    if not sane or prod(size) > storage.numel() or (prod(size) > 0 and last >= storage.numel()):
        raise UnsafeCheckpoint(f"holds a tensor of shape {size} beyond its storage of {storage.numel()} numbers.")
    return torch.as_strided(storage, size, stride, offset)


def _refuse_hollow_tensors(content: Any, path: Path) -> None:
    """Tensors must be dense, on the CPU and no larger than their bytes, or later copies would claim any memory."""
    pending, seen = [content], set()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            if item.layout is not torch.strided or item.device.type != "cpu" or item.is_quantized:
                raise UnsafeCheckpoint(f"{path}: holds a tensor that is not dense.")
            if item.numel() * item.element_size() > item.untyped_storage().nbytes():
                raise UnsafeCheckpoint(f"{path}: holds a tensor of shape {tuple(item.shape)} larger than its bytes.")
        elif isinstance(item, Mapping):
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
