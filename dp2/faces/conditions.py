"""What dp2's own face generator is told of a face, in training and in use: an oval hole, its tone, blurred landmarks.

Nothing else of the removed face reaches the generator. The tone comes in coarse steps and the landmarks are moved by
chance, so that neither tells who it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 1.4  # side of the crop in longer sides of the face box
LANDMARKS = 5  # eyes, nose, corners of the mouth
GROWN = 1.15  # the hole against the face box
_EXPONENT = 2.5  # of the superellipse: between an ellipse (2), which shows the jaw, and a box, which shows seams
_MIDDLE = 0.7  # sides of the oval whose colour is told, in those of the box: skin, neither hair nor background
_LUMA = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])  # RGB to Y, Cb, Cr (BT.601)
_STEPS = (16.0, 4.0, 4.0)  # of a tone, in levels of Y, Cb, Cr
_JITTER = 0.012  # standard deviation of the landmarks' move, in sides of the crop


def oval(box: NDArray[np.floating], size: int, grown: float = GROWN) -> NDArray[np.bool_]:
    """(size, size) bool, True in the hole of a face.

    Args:
        box: (4,) of the face, in pixels of the crop.
        size: side of the crop.
        grown: the hole's sides in those of the box.
    """
    centre = np.arange(size) + 0.5
    half_width, half_height = (max(1.0, grown * (box[2] - box[0]) / 2), max(1.0, grown * (box[3] - box[1]) / 2))
    across = np.abs((centre - (box[0] + box[2]) / 2) / half_width) ** _EXPONENT
    down = np.abs((centre - (box[1] + box[3]) / 2) / half_height) ** _EXPONENT
    inside: NDArray[np.bool_] = across[None, :] + down[:, None] < 1
    return inside


def tone(
    image: NDArray[np.uint8], box: NDArray[np.floating], within: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """The mean colour of the middle of a face in coarse steps: 16 levels of brightness, 4 of hue and saturation.

    Args:
        image: (S, S, 3) RGB, the crop.
        box: (4,) of the face, in pixels of the crop.
        within: (S, S), True where the crop shows the photo; None = everywhere.

    Returns:
        (3,) float32 RGB in [-1, 1]; grey if nothing of the face is in the picture.
    """
    middle = oval(box, len(image), _MIDDLE)
    middle = middle if within is None else middle & within
    if not middle.any():
        return np.zeros(3, np.float32)
    steps = np.array(_STEPS)
    coarse = np.round(_LUMA @ image[middle].mean(axis=0) / steps) * steps
    scaled: NDArray[np.float32] = (np.clip(np.linalg.solve(_LUMA, coarse), 0, 255) / 127.5 - 1).astype(np.float32)
    return scaled


def blurred_landmarks(points: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    """(5, 2) fractions of the crop, each moved by chance; then 1 as visibility: (5, 3) float32."""
    moved = points[:LANDMARKS, :2] + rng.normal(0, _JITTER, (LANDMARKS, 2))
    return np.concatenate([moved, np.ones((LANDMARKS, 1))], axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Pose:
    """How a head is held, as far as five landmarks tell.

    Attributes:
        yaw: how far the nose lies beside the middle of the eyes, in half eye distances: 0 from the front, about 1
            where the nose hides one eye's side; positive to the right of the picture.
        roll: of the line through the eyes, in degrees, positive clockwise; beyond ±90 the head is upside down.
        narrow: eye distance as a share of the distance from eyes to mouth: about 1 from the front, near 0 in profile.
    """

    yaw: float
    roll: float
    narrow: float


def pose(points: NDArray[np.floating], box: NDArray[np.floating]) -> Pose | None:
    """Of a face with (5, 2) landmarks in its (4,) box; None where they cannot be a face's."""
    eyes = np.asarray(points[1] - points[0], np.float64)
    middle, mouth = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    distance, height = float(np.hypot(*eyes)), float(np.hypot(*(mouth - middle)))
    longest = float(max(box[2] - box[0], box[3] - box[1]))
    if not np.isfinite(points[:LANDMARKS]).all() or distance < 0.04 * longest or height < 0.1 * longest:
        return None
    across = eyes / distance
    yaw = float((points[2] - (middle + mouth) / 2) @ across) / (distance / 2)
    return Pose(yaw, float(np.degrees(np.arctan2(eyes[1], eyes[0]))), distance / height)
