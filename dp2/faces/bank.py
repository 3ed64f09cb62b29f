"""The bank: people who do not exist, each a texture and a shape, made by `python -m dp2.data.faces bank`."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import CheckpointMismatch, UnreadableCheckpoint
from dp2.faces.mesh import Floats
from dp2.faces.texture import Texture, pyramid

FILE = Path(__file__).with_name("files") / "face_bank.safetensors"
AGES = ("young", "middle", "old")
PRESENTATIONS = ("woman", "man")
_HELD = 64  # decoded textures in memory
_LARGEST = 1024  # texels a side
_KINDS = {"pixels": "u", "starts": "iu", "shapes": "f", "tones": "f", "ages": "u", "presentations": "u"}


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """What is known of all identities.

    Attributes:
        shapes: (N, K) float32 coefficients of the face model.
        tones: (N, 3) float32 Lab of the skin, OpenCV's 8-bit.
        ages: (N,) uint8 places in `AGES`.
        presentations: (N,) uint8 places in `PRESENTATIONS`.
    """

    shapes: Floats
    tones: Floats
    ages: NDArray[np.uint8]
    presentations: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.shapes)


class Bank:
    """Identities by number; textures are decoded when asked for. May be used from several threads.

    Args:
        path: of the file; None = dp2's own.

    Raises:
        UnreadableCheckpoint: there is none, or it is damaged.
        CheckpointMismatch: it holds something else.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        self._path = Path(path or FILE)
        try:
            arrays = load_file(str(self._path))
        except (OSError, SafetensorError) as error:
            raise UnreadableCheckpoint(
                f"{self._path}: no faces can be read from it ({error}); reinstall dp2."
            ) from error
        self._pixels, self._starts, self.people = _checked(arrays, self._path)
        self._held: OrderedDict[int, Texture] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.people)

    def texture(self, number: int) -> Texture:
        """Of an identity, RGB.

        Raises:
            UnreadableCheckpoint: it is damaged.
        """
        with self._lock:
            if number in self._held:
                self._held.move_to_end(number)
                return self._held[number]
        decoded = pyramid(self._decoded(number))
        with self._lock:
            self._held[number] = decoded
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return decoded

    def _decoded(self, number: int) -> NDArray[np.uint8]:
        start, end = self._starts[number : number + 2]
        try:
            image = cv2.imdecode(self._pixels[start:end], cv2.IMREAD_COLOR)
        except cv2.error:
            image = None
        if image is None or image.shape[0] != image.shape[1] or len(image) > _LARGEST:
            raise UnreadableCheckpoint(f"{self._path}: the texture of face {number} is damaged; reinstall dp2.")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _checked(arrays: dict[str, NDArray[np.generic]], path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], People]:
    if arrays.keys() != _KINDS.keys() or any(arrays[name].dtype.kind not in kind for name, kind in _KINDS.items()):
        raise CheckpointMismatch(f"{path}: holds {', '.join(sorted(arrays))}, which are no faces.")
    starts = arrays["starts"].astype(np.int64)
    count = len(starts) - 1
    shapes, tones = arrays["shapes"].astype(np.float32), arrays["tones"].astype(np.float32)
    ages, presentations = arrays["ages"].astype(np.uint8), arrays["presentations"].astype(np.uint8)
    rising = count > 0 and starts[0] == 0 and bool((np.diff(starts) > 0).all()) and starts[-1] == arrays["pixels"].size
    fits = shapes.ndim == 2 and tones.shape == (count, 3) and ages.shape == presentations.shape == (count,)
    if not (rising and fits and len(shapes) == count and ages.max() < len(AGES) and presentations.max() < 2):
        raise CheckpointMismatch(f"{path}: its arrays do not fit each other.")
    return arrays["pixels"].astype(np.uint8).ravel(), starts, People(shapes, tones, ages, presentations)


def packed(textures: list[bytes], people: People) -> dict[str, NDArray[np.generic]]:
    """The arrays of a bank's file."""
    lengths = [len(texture) for texture in textures]
    return {
        "pixels": np.frombuffer(b"".join(textures), np.uint8),
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "shapes": people.shapes.astype(np.float16),
        "tones": people.tones.astype(np.float16),
        "ages": people.ages.astype(np.uint8),
        "presentations": people.presentations.astype(np.uint8),
    }
