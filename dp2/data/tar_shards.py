"""Reads samples by number out of uncompressed tar shards, as webdataset lays them out. Nothing is ever extracted.

The members of a sample share the part of their names before the first dot: `000123.image.png`, `000123.mask.png`.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dp2.data.folders import index_folder
from dp2.errors import DatasetError, OutputError
from dp2.sink.atomic import atomic_path

MAX_MEMBER = 64 << 20  # bytes; a sample's picture has a few hundred thousand
_FORMAT = 1  # of the cached index


@dataclass(frozen=True, slots=True, eq=False)
class TarIndex:
    """Where every member of every sample lies.

    Attributes:
        shards: (N,) int32, which file.
        offsets: (N, M) int64, of the bytes of the M members.
        sizes: (N, M) int32, in bytes.
    """

    shards: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int32]


class TarShards:
    """The samples of some tar files, in the files' order.

    The first use reads the headers of all members; what it finds is kept in the cache folder (see
    `dp2.data.folders.index_folder`), so that later starts are quick. Shards that changed are read again.

    Args:
        shards: the files.
        members: what every sample must have: its members' names after the first dot, in small letters.

    Raises:
        DatasetError: a file is missing, damaged or compressed; a sample lacks a member or has one twice.
    """

    def __init__(self, shards: Sequence[Path], members: Sequence[str]) -> None:
        if not shards:
            raise DatasetError("there is no tar shard; check the folder.")
        self._paths = [Path(shard) for shard in shards]
        self._members = {name: column for column, name in enumerate(members)}
        self._index = _cached_index(self._paths, tuple(members))

    def __len__(self) -> int:
        return len(self._index.shards)

    def read(self, sample: int, member: str) -> bytes:
        """The bytes of a sample's member.

        Raises:
            DatasetError: the file is gone, or was cut off since it was indexed.
        """
        column = self._members[member]
        path = self._paths[int(self._index.shards[sample])]
        size = int(self._index.sizes[sample, column])
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(int(self._index.offsets[sample, column]))
                data = file.read(size)
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from error
        if len(data) != size:
            raise DatasetError(f"{path}: ends within {member} of a sample; fetch the file again.")
        return data

    def where(self, sample: int) -> str:
        """A sample as errors name it."""
        return (
            f"{self._paths[int(self._index.shards[sample])]}, sample at byte {int(self._index.offsets[sample].min())}"
        )


def find_shards(folder: Path) -> list[Path]:
    """The tar files in a folder, sorted.

    Raises:
        DatasetError: there is no such folder, or no tar file in it.
    """
    found = sorted(folder.glob("*.tar")) if folder.is_dir() else []
    if not found:
        raise DatasetError(f"{folder}: holds no .tar shards; check the path and BASE_DATASET_DIR.")
    return found


def read_index(paths: Sequence[Path], members: tuple[str, ...]) -> TarIndex:
    """Read the headers of all members of the shards.

    Raises:
        DatasetError: as `TarShards`.
    """
    shards: list[int] = []
    offsets: list[list[int]] = []
    sizes: list[list[int]] = []
    for number, path in enumerate(paths):
        for spans in _samples(path, members):
            shards.append(number)
            offsets.append([offset for offset, _ in spans])
            sizes.append([size for _, size in spans])
    if not shards:
        raise DatasetError(f"{paths[0].parent}: its shards hold no sample.")
    return TarIndex(np.array(shards, np.int32), np.array(offsets, np.int64), np.array(sizes, np.int32))


def _samples(path: Path, members: tuple[str, ...]) -> list[list[tuple[int, int]]]:
    """Offset and size of the members of each sample of one shard, in its order."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        length = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else it remembers all of them
                if not member.isreg() or member.issparse():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, ending = name.partition(".")
                ending = ending.lower()
                if ending not in members:
                    continue
                sample = found.setdefault(f"{folder}/{stem}", {})
                if ending in sample:
                    raise DatasetError(f"{path}: holds {member.name} twice.")
                if not 0 <= member.size <= MAX_MEMBER or member.offset_data + member.size > length:
                    raise DatasetError(f"{path}: {member.name} claims {member.size} bytes; the file is damaged.")
                sample[ending] = (member.offset_data, member.size)
    except tarfile.TarError as error:
        raise DatasetError(f"{path}: is no whole, uncompressed tar file ({error}); fetch it again.") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from error
    for key, sample in found.items():
        lacking = [name for name in members if name not in sample]
        if lacking:
            raise DatasetError(f"{path}: the sample {key.lstrip('/')} has no {', '.join(lacking)}.")
    return [[sample[name] for name in members] for sample in found.values()]


def _cached_index(paths: Sequence[Path], members: tuple[str, ...]) -> TarIndex:
    """From the cache if the shards are as they were, else read and put there."""
    cache = index_folder() / f"{_digest(paths, members)}.npz"
    try:
        with np.load(cache, allow_pickle=False) as stored:
            return TarIndex(stored["shards"], stored["offsets"], stored["sizes"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        index = read_index(paths, members)
    try:
        with atomic_path(cache, overwrite=True) as part, part.open("wb") as file:
            np.savez(file, shards=index.shards, offsets=index.offsets, sizes=index.sizes)
    except (OSError, OutputError):
        return index  # a cache that cannot be written only costs time
    return index


def _digest(paths: Sequence[Path], members: tuple[str, ...]) -> str:
    digest = hashlib.sha256(repr((_FORMAT, members)).encode())
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
        digest.update(os.fsencode(path.resolve()) + f"\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:32]
