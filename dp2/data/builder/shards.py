"""Writes the chosen crops as tar shards."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

from dp2.data.builder.parts import add_member
from dp2.data.builder.selection import Chosen
from dp2.data.crop_shards import MASK, PICTURE, RECORD

_SAMPLES_A_SHARD = 2048


def write_shards(folder: Path, chosen: Sequence[Chosen]) -> None:
    """Crops in order as `000000.tar`, `000001.tar`, … of 2048 samples each."""
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(chosen), _SAMPLES_A_SHARD)):
        with tarfile.open(folder / f"{number:06d}.tar", "w") as tar:
            for place, item in enumerate(chosen[start : start + _SAMPLES_A_SHARD], start):
                _write(tar, f"{place:08d}", item)


def _write(tar: tarfile.TarFile, key: str, item: Chosen) -> None:
    row = item.row
    names = [name for name in (row.picture, row.mask) if name is not None]
    for ending, data in zip((PICTURE, MASK), item.part.read(names), strict=False):
        add_member(tar, f"{key}.{ending}", data)
    add_member(tar, f"{key}.{RECORD}", row.record.encode())
