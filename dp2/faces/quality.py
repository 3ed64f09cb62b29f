"""How well a face can be told from others: its size, how far it is turned away, how sharp it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.faces.alignment import SPHEREFACE, aligned
from dp2.types import Image

_SIZE = (112, 96)
_ENOUGH_PIXELS = 80.0
_ENOUGH_SHARPNESS = 0.3  # sharp portraits: 0.3 to 0.6; with a Gaussian blur of 3 of their 256 pixels: 0.15


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """Measures of one face.

    Attributes:
        size: shorter side of its box in pixels.
        frontal: 1 = looks into the camera, 0 = in profile or beyond.
        sharpness: ≥ 0: contrast of fine detail in proportion to that of the face; 0 = one colour or very blurred.
    """

    size: float
    frontal: float
    sharpness: float

    @property
    def score(self) -> float:
        """In [0, 1]: the product of the three, each capped where more of it no longer helps."""
        return min(self.size / _ENOUGH_PIXELS, 1.0) * self.frontal * min(self.sharpness / _ENOUGH_SHARPNESS, 1.0)


def face_quality(image: Image, box: NDArray[np.float32], landmarks: NDArray[np.float32]) -> FaceQuality:
    """Measure a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x0 y0 x1 y1 in pixels.
        landmarks: (5, 2) x y in pixels: the eyes (left in the picture first), the nose, the corners of the mouth.

    Raises:
        ValueError: the landmarks are not finite or lie in one place.
    """
    size = float(min(box[2] - box[0], box[3] - box[1]))
    face = aligned(image, landmarks, SPHEREFACE, _SIZE)
    return FaceQuality(max(size, 0.0), frontality(landmarks), sharpness(face))


def frontality(landmarks: NDArray[np.float32]) -> float:
    """How far the nose lies in the middle between the left and the right of the face; 1 = in the middle, 0 = beside it.

    Rolling the head or scaling the picture changes nothing.

    Args:
        landmarks: (5, 2), as in `face_quality`.
    """
    points = np.asarray(landmarks, np.float64)
    left, right = (points[0] + points[3]) / 2, (points[1] + points[4]) / 2
    across = right - left
    length = float(across @ across)
    if length == 0:
        return 0.0
    place = float((points[2] - left) @ across) / length  # 0.5 = in the middle
    return float(np.clip(1 - 2 * abs(place - 0.5), 0, 1))


def sharpness(face: Image) -> float:
    """Standard deviation of the Laplacian in proportion to that of the brightness, over the middle of an aligned face.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000), made independent of
    contrast.

    Args:
        face: (H, W, 3) uint8 RGB, cut out by `dp2.faces.alignment.aligned`.
    """
    import cv2

    height, width = face.shape[:2]
    middle = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[height // 3 :, width // 8 : width - width // 8].astype(np.float32)
    contrast = float(middle.std())
    return float(cv2.Laplacian(middle, cv2.CV_32F).std()) / contrast if contrast > 1 else 0.0
