"""How sharp a crop is, and which crops show nearly the same."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.types import Image

_SHARPNESS_SIDE = 64
_HASH_SIDE = 16
_HASH_SAMPLES = 8  # a side of each cell
_HASH_STEP = 1.0  # grey levels: less is noise of the coding


def sharpness(image: Image) -> float:
    """Variance of the Laplacian of the luma in [0, 255] (Pech-Pacheco et al. 2000), at most 64 pixels a side.

    Measured on the face or body alone, so that a busy background does not hide its blur.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    longest = max(grey.shape)
    if longest > _SHARPNESS_SIDE:
        height, width = (max(1, round(side * _SHARPNESS_SIDE / longest)) for side in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def fingerprint(image: Image, box: tuple[float, float, float, float]) -> str:
    """64 hexadecimal digits: 256 bits, each whether a cell of a 17×16 thumbnail is darker than its right neighbour.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: x0 y0 x1 y1 of the part that counts. It is sampled between pixels: a box that two frames of a video differ
            in by a fraction of a pixel gives the same bits.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    width, height = (_HASH_SIDE + 1) * _HASH_SAMPLES, _HASH_SIDE * _HASH_SAMPLES
    x0, y0, x1, y1 = box
    step_x, step_y = (x1 - x0) / width, (y1 - y0) / height
    matrix = np.array([[step_x, 0, x0 + step_x / 2 - 0.5], [0, step_y, y0 + step_y / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(grey, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    cells = cv2.resize(fine.astype(np.float32), (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(cells[:, 1:] > cells[:, :-1] + _HASH_STEP).tobytes().hex()


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
