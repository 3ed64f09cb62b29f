"""Prepared portraits on disk: where each face lies, its clean texture, its pose and shape, and the person's matte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import DatasetError
from dp2.faces.mesh import EXPRESSIONS, POINTS, Floats
from dp2.faces.pose import Pose

ARRAYS, NAMES, TEXTURES, PICTURES = "faces.safetensors", "faces.json", "textures", "pictures"
MATTE = 128  # pixels a side, of a whole picture
_KEPT_OUT = 40  # every so many-th portrait is for validation


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """One prepared portrait.

    Attributes:
        image: (S, S, 3) uint8 RGB, the face in its middle.
        points: (468, 3) float32 mesh in its pixels.
        pose, shape: of the face model, see `dp2.faces.pose.fit_pose`.
        matte: (128, 128) uint8, 255 on the person.
        share: (64, 64) uint8: which texels are skin that was seen, 255 = yes.
    """

    image: NDArray[np.uint8]
    points: Floats
    pose: Pose
    shape: Floats
    matte: NDArray[np.uint8]
    share: NDArray[np.uint8]


class FaceSet:
    """What `python -m dp2.data.faces prepare` wrote.

    Args:
        folder: of the set.

    Raises:
        DatasetError: there is no set, or it is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        self.folder = Path(folder)
        try:
            told = json.loads((self.folder / NAMES).read_text(encoding="utf-8"))
            arrays = load_file(str(self.folder / ARRAYS))
            self.names: Sequence[str] = [str(name) for name in told["names"]]
            count = len(self.names)
            shapes = {"points": (count, POINTS, 3), "mattes": (count, MATTE, MATTE), "poses": (count, self._columns)}
            for name, shape in shapes.items():
                if arrays[name].shape != shape:
                    raise ValueError(f"{name} is {arrays[name].shape}, not {shape}")
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{folder}: no set of prepared portraits ({error}); make it anew.") from error
        self._arrays = arrays

    _columns = 9 + 1 + 3 + len(EXPRESSIONS)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def large(self) -> NDArray[np.bool_]:
        """(N,): portraits with fine detail."""
        return np.array(["512" in Path(name).parent.name for name in self.names])

    def split(self, name: str) -> NDArray[np.int64]:
        """Numbers of the portraits of "train" or "val"."""
        numbers = np.arange(len(self))
        held = numbers % _KEPT_OUT == 0
        return np.asarray(numbers[held if name == "val" else ~held], np.int64)

    @property
    def shapes(self) -> Floats:
        """(N, K) shape coefficients."""
        found: Floats = self._arrays["shapes"]
        return found

    def pose(self, number: int) -> Pose:
        """Of a portrait, in its pixels."""
        row = self._arrays["poses"][number]
        return Pose(row[:9].reshape(3, 3), float(row[9]), row[10:13], row[13:])

    def portrait(self, number: int) -> Portrait:
        """All of one.

        Raises:
            DatasetError: its picture is missing or damaged.
        """
        return Portrait(
            _read(self.folder / PICTURES / f"{number:05d}.jpg"),
            self._arrays["points"][number],
            self.pose(number),
            self.shapes[number],
            self._arrays["mattes"][number],
            self._arrays["shares"][number],
        )

    def share(self, number: int) -> NDArray[np.uint8]:
        """(64, 64) uint8: which texels are skin that was seen."""
        found: NDArray[np.uint8] = self._arrays["shares"][number]
        return found

    def texture(self, number: int) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB, clean.

        Raises:
            DatasetError: it is missing or damaged.
        """
        return _read(self.folder / TEXTURES / f"{number:05d}.jpg")


def packed_pose(pose: Pose) -> Floats:
    """(18,) float32, as the set keeps it."""
    return np.concatenate([pose.rotation.ravel(), [pose.scale], pose.shift, pose.expression]).astype(np.float32)


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}).") from error
    if image is None:
        raise DatasetError(f"{path}: is no picture.")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
