"""MediaPipe's face mesh as a teacher: where the 468 points of a face lie. For training only, never at inference.

The network is `face_landmark.tflite` of MediaPipe (Apache-2.0), as the wheel mediapipe 0.10.14 carries it; it takes one
upright face a call and is sure of near-frontal ones only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import MissingWeights, WeightsError

Floats = NDArray[np.floating]
POINTS = 468
_SIDE = 192  # of what the network sees
_FIRST, _LATER = 1.6, 1.5  # side of the crop in longer sides of the detector's box, and of the mesh's own
_EYES = (33, 263)  # outer corners
_LANDMARKS = ((33, 133), (362, 263), (1,), (61,), (291,))  # of the mesh, whose means are a detector's five
_CALLS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Attributes: `points` (468, 3) float32 in pixels of the picture, z towards the back; `score` in [0, 1]."""

    points: NDArray[np.float32]
    score: float


class Teacher:
    """Finds the mesh of a face in a picture.

    Args:
        weights: `face_landmark.tflite`.

    Raises:
        MissingWeights: there is no such file.
        WeightsError: ai-edge-litert is not installed or cannot read it.
    """

    def __init__(self, weights: str | Path) -> None:
        path = Path(weights)
        if not path.is_file():
            raise MissingWeights(f"{path}: is not there; unpack it from the wheel mediapipe==0.10.14.")
        try:
            from ai_edge_litert.interpreter import Interpreter

            self._network: Any = Interpreter(model_path=str(path), num_threads=1)
            self._network.allocate_tensors()
        except (ImportError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{path}: cannot be run ({error}); pip install ai-edge-litert.") from error
        self._input = self._network.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._network.get_output_details()]

    def __call__(self, image: NDArray[np.uint8], box: Floats, landmarks: Floats) -> Mesh:
        """The mesh of one face.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (4,) of the face, in pixels.
            landmarks: (5, 2) eyes, nose, corners of the mouth, in pixels.
        """
        middle, side = (box[:2] + box[2:]) / 2, _FIRST * float((box[2:] - box[:2]).max())
        angle = _angle(landmarks[0], landmarks[1])
        for _ in range(_CALLS - 1):
            found = self._once(image, middle, side, angle)
            low, high = found.points[:, :2].min(0), found.points[:, :2].max(0)
            middle, side = (low + high) / 2, _LATER * float((high - low).max())
            angle = _angle(found.points[_EYES[0], :2], found.points[_EYES[1], :2])
        return self._once(image, middle, side, angle)

    def _once(self, image: NDArray[np.uint8], middle: Floats, side: float, angle: float) -> Mesh:
        scale = side / _SIDE
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.concatenate([turn, (middle - turn @ (_SIDE / 2, _SIDE / 2))[:, None]], 1)  # crop to picture
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(image, matrix, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        self._network.set_tensor(self._input, crop[None].astype(np.float32) / 255)
        self._network.invoke()
        points = self._network.get_tensor(self._outputs[0]).reshape(POINTS, 3)
        score = float(1 / (1 + np.exp(-self._network.get_tensor(self._outputs[1]).ravel()[0])))
        flat = points[:, :2] @ turn.T + matrix[:, 2]
        return Mesh(np.concatenate([flat, points[:, 2:] * scale], 1).astype(np.float32), score)


def agreement(mesh: Mesh, box: Floats, landmarks: Floats) -> float:
    """Largest distance of a detector's (5, 2) landmarks from the mesh's, in longer sides of the (4,) box."""
    own = np.array([mesh.points[list(indices), :2].mean(0) for indices in _LANDMARKS])
    return float(np.abs(own - landmarks).max() / (box[2:] - box[:2]).max())


def _angle(left: Floats, right: Floats) -> float:
    return float(np.arctan2(right[1] - left[1], right[0] - left[0]))
