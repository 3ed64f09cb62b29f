"""How sharp a crop is, and which crops show nearly the same."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.types import Image

_SHARPNESS_SIDE = 64
_HASH_SIDE = 16


def sharpness(image: Image) -> float:
    """Variance of the Laplacian of the luma in [0, 255] (Pech-Pacheco et al. 2000), at a longer side of at most 64 pixels.

    Measured on the face or body alone, so that a busy background does not hide its blur.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    longest = max(grey.shape)
    if longest > _SHARPNESS_SIDE:
        height, width = (max(1, round(side * _SHARPNESS_SIDE / longest)) for side in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def fingerprint(image: Image) -> str:
    """64 hexadecimal digits: 256 bits, each whether a cell of a 17×16 thumbnail is darker than the one to its right."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes().hex()


class Duplicates:
    """Fingerprints seen so far, so that one like an earlier one is found without comparing with all.

    Two fingerprints that differ in at most d bits agree in one of d + 1 pieces: only those are compared.

    Args:
        max_same: largest number of differing bits, at most 63; -1 = nothing is a duplicate.
    """

    def __init__(self, max_same: int) -> None:
        self._max_same = max_same
        self._seen: list[NDArray[np.uint8]] = []
        self._pieces: list[dict[bytes, list[int]]] = [{} for _ in range(max_same + 1)]

    def find(self, text: str) -> int | None:
        """Which earlier fingerprint, counted from 0 in the order of `add`, is nearly the same; None = none."""
        bits = _bits(text)
        candidates = {row for table, key in self._keys(bits) for row in table.get(key, ())}
        for row in sorted(candidates):
            if int(np.count_nonzero(self._seen[row] != bits)) <= self._max_same:
                return row
        return None

    def add(self, text: str) -> None:
        """Remember a fingerprint."""
        bits = _bits(text)
        for table, key in self._keys(bits):
            table.setdefault(key, []).append(len(self._seen))
        self._seen.append(bits)

    def _keys(self, bits: NDArray[np.uint8]) -> list[tuple[dict[bytes, list[int]], bytes]]:
        if not self._pieces:
            return []
        pieces = np.array_split(bits, len(self._pieces))
        return [(table, piece.tobytes()) for table, piece in zip(self._pieces, pieces, strict=True)]


def _bits(text: str) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
