"""The inert reader of `torch.save`'s files: it calls nothing that a file names, and needs no torch."""

from __future__ import annotations

import mmap
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import UnreadableCheckpoint, UnsafeCheckpoint
from dp2.weights.formats.numpy_pickle import NUMPY_NAMES
from dp2.weights.formats.pickles import Inert, Name, read_pickle

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch before 1.6 begins: the pickle of its magic number."""

HARMLESS = ("easydict.EasyDict", "dnnlib.util.EasyDict")
"""Dict classes that published checkpoints hold; read as plain dicts."""

_DAMAGE = (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, IndexError, struct.error)
_BFLOAT16 = "BFloat16Storage"
_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    _BFLOAT16: np.uint16,  # its bits
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """The numbers that tensors are views of.

    Attributes:
        kind: as torch calls it, e.g. "FloatStorage".
        values: (n,); of bfloat16, which NumPy does not know, the bits as uint16.
    """

    kind: str
    values: NDArray[Any]

    @property
    def is_bfloat16(self) -> bool:
        """Whether `values` are bits."""
        return self.kind == _BFLOAT16


Rebuild = Callable[[Storage, int, tuple[int, ...], tuple[int, ...]], Any]
"""Storage, offset, size and stride (in numbers, checked to lie inside) to what stands for the tensor."""


def read_arrays(path: Path) -> Any:
    """What a file of `torch.save` holds, with arrays in the place of tensors; bfloat16 becomes float32.

    Raises:
        UnsafeCheckpoint, UnreadableCheckpoint: as `dp2.weights.formats.torch_files.read_torch`.
    """
    return read_inert(path, _array)


def read_inert(path: Path, rebuild: Rebuild) -> Any:
    """What a file of `torch.save` holds.

    Args:
        rebuild: makes a tensor.

    Raises:
        UnsafeCheckpoint, UnreadableCheckpoint: as `dp2.weights.formats.torch_files.read_torch`.
    """
    return read_legacy(path, rebuild) if is_legacy(path) else _read_zip(path, rebuild)


def _array(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> NDArray[Any]:
    values = storage.values
    if storage.is_bfloat16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    steps = tuple(step * values.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(values[offset:], size, steps).copy()


def is_legacy(path: Path) -> bool:
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


def _read_zip(path: Path, rebuild: Rebuild) -> Any:
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
            return read_pickle(
                BytesIO(archive.read(listing[0])), _names(_inside(rebuild)), str(path), storages.persistent
            )
    except _DAMAGE as error:
        raise UnreadableCheckpoint(f"{path}: is no whole torch file ({error}).") from error


def read_legacy(path: Path, rebuild: Rebuild) -> Any:
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

        read_pickle(source, _names(lambda storage, *_: storage), what, _Storages(measure, path, hollow=True).persistent)
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

        return read_pickle(source, _names(_inside(rebuild)), what, _Storages(load, path).persistent)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        yield mapping


class _Storages:
    """Turns a pickle's persistent identifiers into storages, each read once."""

    def __init__(self, load: Callable[[str, int], bytes], path: Path, *, hollow: bool = False) -> None:
        self._load = load
        self._path = path
        self._hollow = hollow
        self._known: dict[str, Storage] = {}

    def persistent(self, identifier: Any) -> Storage:
        if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
            raise UnsafeCheckpoint(f"{self._path}: refers to something that is no storage. Nothing was executed.")
        _, kind, key, _, count = identifier[:5]
        if any(part is not None for part in identifier[5:]):
            raise UnreadableCheckpoint(f"{self._path}: holds views of storages, which only very old torch writes.")
        if not isinstance(kind, Name) or kind.text not in _STORAGES or not isinstance(count, int) or count < 0:
            raise UnsafeCheckpoint(f"{self._path}: holds a storage of an unknown type. Nothing was executed.")
        key = str(key)
        if key not in self._known:
            self._known[key] = Storage(kind.text, self._values(key, np.dtype(_STORAGES[kind.text]), count))
        return self._known[key]

    def _values(self, key: str, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        size = count * dtype.itemsize
        raw = self._load(key, size)
        if self._hollow:
            return np.empty(0, dtype)
        if len(raw) != size:
            raise UnsafeCheckpoint(f"{self._path}: storage {key} claims {size} bytes and has {len(raw)}.")
        return np.frombuffer(bytearray(raw), dtype)


def _names(make: Callable[..., Any]) -> Mapping[str, Name]:
    def rebuild(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Any:
        if not isinstance(storage, Storage):
            raise UnsafeCheckpoint("builds a tensor from something that is no storage. Nothing was executed.")
        return make(storage, offset, tuple(size), tuple(stride))

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


def _inside(make: Rebuild) -> Rebuild:
    """Within the storage's bounds, and without the stretching by stride 0 that claims memory."""

    def checked(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Any:
        total = len(storage.values)
        sane = len(size) == len(stride) and all(isinstance(n, int) and n >= 0 for n in (offset, *size, *stride))
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if sane else -1
        if not sane or prod(size) > total or (prod(size) > 0 and last >= total):
            raise UnsafeCheckpoint(f"holds a tensor of shape {size} beyond its storage of {total} numbers.")
        return make(storage, offset, size, stride)

    return checked
