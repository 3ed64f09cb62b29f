"""How much a checkpoint may make of its bytes: small files that name one array a thousand times claim gigabytes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dp2.errors import MissingWeights, UnreadableCheckpoint, UnsafeCheckpoint

MOST_STEPS = 1_000_000  # opcodes of a pickle; the largest published checkpoints have some ten thousand
LONGEST_SIDE = 1 << 62
MOST_AXES = 32
_GROWTH = 4  # tied weights are stored once and counted twice, bfloat16 becomes float32
_SLACK = 64 << 20  # bytes


class Budget:
    """Bytes that may be made of a file, counting what shares memory as often as it is named.

    Args:
        size: of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._left = allowance(size)

    def spend(self, amount: int) -> None:
        """Count `amount` bytes.

        Raises:
            UnsafeCheckpoint: it is too much.
        """
        self._left -= amount
        if self._left < 0:
            raise UnsafeCheckpoint("makes far more of its bytes than a checkpoint does.")


def allowance(size: int) -> int:
    """Most bytes that a file of `size` bytes may become."""
    return _GROWTH * size + _SLACK


def weight(value: Any) -> int:
    """Bytes that a copy of a plain value takes, of a container without what its items hold."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if isinstance(value, (list, tuple, dict)):
        return 64 * len(value)
    return 0


def sides_of(shape: Any) -> tuple[int, ...]:
    """A shape or stride out of a file.

    Raises:
        UnsafeCheckpoint: not a few whole numbers from 0 up.
    """
    if not isinstance(shape, (tuple, list)) or len(shape) > MOST_AXES:
        raise UnsafeCheckpoint("holds an array or tensor without a sane shape.")
    if not all(type(side) is int and side < LONGEST_SIDE for side in shape):
        raise UnsafeCheckpoint("holds an array or tensor without a sane shape.")
    return tuple(shape)


def check_tables(content: Any, path: Path) -> None:
    """Make sure that no table of a checkpoint holds more than its file can, were each of its arrays copied.

    Args:
        content: containers, which may share members, of tensors, arrays and plain data.

    Raises:
        UnsafeCheckpoint: one does.
    """
    most = allowance(path.stat().st_size)
    pending, seen = [content], set()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        values = list(item.values()) if isinstance(item, Mapping) else item
        if not isinstance(values, (list, tuple)):
            continue
        if sum(nbytes(value) for value in values) > most:
            raise UnsafeCheckpoint(f"{path}: names the same arrays over and over. Nothing of it was executed.")
        pending.extend(value for value in values if isinstance(value, (Mapping, list, tuple)))


def nbytes(value: Any) -> int:
    """Of an array or a tensor; 0 of anything else."""
    size = getattr(value, "nbytes", 0)
    return int(size) if isinstance(size, numbers.Integral) else 0


def check_file(path: Path) -> int:
    """The size of a checkpoint in bytes. A pipe or device, which may never end, is not opened.

    Raises:
        MissingWeights: there is no such file.
        UnreadableCheckpoint: it is empty.
    """
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no name of a file"
        raise MissingWeights(f"{path}: the checkpoint cannot be read ({reason}).") from error
    if not path.is_file():
        raise MissingWeights(f"{path}: the checkpoint cannot be read (not a file).")
    if not size:
        raise UnreadableCheckpoint(f"{path}: is empty.")
    return size
