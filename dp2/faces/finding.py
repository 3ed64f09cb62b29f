"""How a face lies in a picture and what of it is seen, by the pose network; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import SynthesisError
from dp2.faces.graphs import MASK, NUMBERS, SIDE, pose_onnx
from dp2.faces.mesh import FaceModel, Floats
from dp2.faces.pose import Pose
from dp2.inference.engine import load_engine
from dp2.inference.network import Engine, Network
from dp2.types import Image
from dp2.weights.readers import load_arrays
from dp2.weights.store import Store
from dp2.weights.tables import CheckpointArrays, network_table

_FIRST = 1.6  # side of the crop in longer sides of the detector's box
_AGAIN = 5.4  # the same in model units, once the pose is known
_STEP = 0.1  # model units that one unit of the network's expression stands for


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """What a new face is told of an old one's place.

    Attributes:
        pose: in pixels of the picture.
        visible: (S, S) float32 in [0, 1]: how surely the face is seen, on a square of the picture.
        square: (3,) left, top and side of that square in pixels.
        sure: in [0, 1]: that there is a face at all.
    """

    pose: Pose
    visible: Floats
    square: Floats
    sure: float

    def visible_in(self, left: float, top: float, scale: float, side: int) -> Floats:
        """(side, side) of `visible` on another square, 0 beyond what was looked at.

        Args:
            left, top: of that square's corner, in pixels of the picture.
            scale: its pixels a pixel of the picture.
            side: its pixels.
        """
        x, y, own = self.square
        factor = own / len(self.visible)
        k = factor * scale
        matrix = np.array([[k, 0, (x - left) * scale + k / 2 - 0.5], [0, k, (y - top) * scale + k / 2 - 0.5]])
        return np.asarray(cv2.warpAffine(self.visible, matrix, (side, side), flags=cv2.INTER_LINEAR), np.float32)


class FaceFinder(Protocol):
    """Tells how the face of a box lies."""

    def __call__(self, image: Image, box: NDArray[np.float32]) -> FoundFace:
        """Look at the face in a (4,) box of a (H, W, 3) uint8 RGB picture.

        Raises:
            SynthesisError: the network failed.
        """


class PoseFinder:
    """By dp2's pose network, in two looks: at the detector's box, then at what the first look found.

    Args:
        weights: name in the registry, or a file.
        model: of faces.
        engine: one of `dp2.inference.engine.ENGINES`.

    Raises:
        MissingWeights: they are not on this machine.
    """

    def __init__(self, *, weights: str = "dp2/face_pose", model: FaceModel, engine: str = "auto") -> None:
        self._path = Store().path(weights)
        self._model, self._engine = model, engine

    @cached_property
    def _loaded(self) -> Engine:
        arrays = network_table(load_arrays(self._path), np.ndarray, str(self._path))
        graph = pose_onnx(CheckpointArrays(arrays, str(self._path), "dp2's pose network"))
        return load_engine(Network(graph, threads=1, exact=True), engine=self._engine, device="cpu")

    def __call__(self, image: Image, box: NDArray[np.float32]) -> FoundFace:
        """See `FaceFinder`."""
        middle, side = (box[:2] + box[2:]) / 2, _FIRST * float((box[2:] - box[:2]).max())
        first = self._look(image, middle.astype(np.float64), side)
        near = np.abs(first.pose.shift[:2] - middle).max() < side / 2
        if first.sure < 0.5 or not near or not 0.5 < _AGAIN * first.pose.scale / side < 2:
            return first
        return self._look(image, first.pose.shift[:2].astype(np.float64), _AGAIN * first.pose.scale)

    def _look(self, image: Image, middle: NDArray[np.float64], side: float) -> FoundFace:
        corner, scale = middle - side / 2, SIDE / side
        crop = cut_square(image, corner, scale, SIDE)
        seen = (crop.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        told = self._loaded.run_named({"crop": np.ascontiguousarray(seen)})[0][0]
        if not np.isfinite(told).all():
            raise SynthesisError("the pose network's values are not finite.")
        pose = unpacked(told[:NUMBERS], corner, side, self._model)
        mask = 1 / (1 + np.exp(-told[NUMBERS:].reshape(MASK, MASK)))
        square = np.array([*corner, side], np.float32)
        return FoundFace(pose, mask.astype(np.float32), square, float(1 / (1 + np.exp(-told[NUMBERS - 1]))))


def unpacked(numbers: Floats, corner: NDArray[np.float64], side: float, model: FaceModel) -> Pose:
    """The pose that the network's numbers tell, in pixels of the picture; see `dp2.data.posed.packed`.

    Args:
        numbers: (15,).
        corner: (2,) of the crop in the picture.
        side: of the crop in pixels of the picture.
        model: of faces.
    """
    first = numbers[:3] / max(float(np.linalg.norm(numbers[:3])), 1e-6)
    second = numbers[3:6] - (first @ numbers[3:6]) * first
    second = second / max(float(np.linalg.norm(second)), 1e-6)
    rotation = np.stack([first, second, np.cross(first, second)]).astype(np.float32)
    shift = corner + (numbers[7:9] + 0.5) * side
    expression = np.maximum(model.usual + _STEP * numbers[9:14], 0).astype(np.float32)
    scale = side * float(np.exp(np.clip(numbers[6], -6, 2)))
    return Pose(rotation, scale, np.array([*shift, 0], np.float32), expression)


def cut_square(image: Image, corner: NDArray[np.float64], scale: float, side: int) -> Image:
    """(side, side, 3) of a picture from a corner, `scale` times as large; without aliasing, edges carried on."""
    far = corner + side / scale
    low = np.floor(np.clip(corner - 2, 0, None)).astype(int)
    high = np.ceil(np.clip(far + 2, None, image.shape[1::-1])).astype(int)
    if (high - low < 1).any():
        return np.zeros((side, side, 3), np.uint8)
    part = image[low[1] : high[1], low[0] : high[0]]
    shrunk = min(1.0, 1.5 * scale)
    if shrunk < 1:
        size = tuple(int(max(1, round(n * shrunk))) for n in part.shape[1::-1])
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    across = scale * (high - low) / np.array(part.shape[1::-1])
    offset = (low - corner) * scale + across / 2 - 0.5
    matrix = np.array([[across[0], 0, offset[0]], [0, across[1], offset[1]]])
    flags = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(
        cv2.warpAffine(part, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
