"""MediaPipe's face mesh in the place of dp2's pose network: to judge what the other parts do, never in the product."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.faces.teacher import Teacher
from dp2.faces.finding import FoundFace
from dp2.faces.mesh import FaceModel, Floats
from dp2.faces.pose import fit_pose
from dp2.faces.render import rasterized
from dp2.types import Image

_SIDE = 96


class TaughtFinder:
    """A `dp2.faces.finding.FaceFinder`; the whole face counts as seen.

    Args:
        teacher: file of MediaPipe's `face_landmark.tflite`.
        model: of faces.
    """

    def __init__(self, teacher: str | Path, model: FaceModel) -> None:
        self._teacher, self._model = Teacher(teacher), model

    def __call__(self, image: Image, box: NDArray[np.float32]) -> FoundFace:
        """See `dp2.faces.finding.FaceFinder`."""
        size = box[2:] - box[:2]
        level = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.3, 0.75], [0.7, 0.75]], np.float32) * size + box[:2]
        mesh = self._teacher(image, box.astype(np.float32), level.astype(np.float32))
        pose, _ = fit_pose(mesh.points, self._model)
        low, high = mesh.points[:, :2].min(0), mesh.points[:, :2].max(0)
        side = 1.3 * float((high - low).max())
        corner = (low + high) / 2 - side / 2
        points: Floats = mesh.points.copy()
        points[:, :2] = (points[:, :2] - corner) * (_SIDE / side)
        seen = rasterized(points, self._model.triangles, (_SIDE, _SIDE)).mask.astype(np.float32)
        seen = cv2.GaussianBlur(seen, (0, 0), 1.0)
        return FoundFace(pose, np.asarray(seen, np.float32), np.array([*corner, side], np.float32), mesh.score)
