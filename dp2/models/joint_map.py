"""A drawing of the limbs between 17 COCO keypoints, which tells TriaGAN the pose.

Source: hukkelas/deep_privacy2 (`InsertJointMap`): order of painting and its one-pixel lines are part of what the
published weights were trained with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

HEAD, LEFT_ARM, RIGHT_ARM, TRUNK, LEFT_LEG, RIGHT_LEG = range(1, 7)

_NOSE, _LEFT_EYE, _RIGHT_EYE, _LEFT_SHOULDER, _RIGHT_SHOULDER, _LEFT_HIP, _RIGHT_HIP = 0, 1, 2, 5, 6, 11, 12
_NECK, _MID_HIP = 17, 18  # made from the shoulders and the hips

# (from, to, label), in order of painting; a later line covers an earlier one
_LINES = (
    (_NOSE, _LEFT_EYE, HEAD),
    (_NOSE, _RIGHT_EYE, HEAD),
    (_NOSE, _NECK, HEAD),
    (_LEFT_EYE, _RIGHT_EYE, HEAD),
    (_LEFT_EYE, 3, HEAD),
    (_RIGHT_EYE, 4, HEAD),
    (_LEFT_SHOULDER, _RIGHT_SHOULDER, TRUNK),
    (_LEFT_SHOULDER, 7, LEFT_ARM),
    (_LEFT_SHOULDER, _LEFT_HIP, TRUNK),
    (_RIGHT_SHOULDER, 8, RIGHT_ARM),
    (_RIGHT_SHOULDER, _RIGHT_HIP, TRUNK),
    (7, 9, LEFT_ARM),
    (8, 10, RIGHT_ARM),
    (_LEFT_HIP, _RIGHT_HIP, TRUNK),
    (_LEFT_HIP, 13, LEFT_LEG),
    (_RIGHT_HIP, 14, RIGHT_LEG),
    (13, 15, LEFT_LEG),
    (14, 16, RIGHT_LEG),
    (_NECK, _MID_HIP, TRUNK),
    (_NECK, _NOSE, HEAD),  # again, as a line drawn backwards may differ by a pixel
)


def draw_joint_map(keypoints: NDArray[np.floating], height: int, width: int) -> NDArray[np.uint8]:
    """Draw the limbs whose two ends are visible, as one-pixel lines.

    Args:
        keypoints: (17, 3) in COCO's order: x, y as fractions of width and height; visible where the third is above 0.
        height, width: of the drawing, in pixels.

    Returns:
        (1, height, width) uint8: 0 = nothing, else HEAD, LEFT_ARM, RIGHT_ARM, TRUNK, LEFT_LEG or RIGHT_LEG.

    Raises:
        ValueError: the keypoints have another shape.
    """
    if keypoints.shape != (17, 3):
        raise ValueError(f"keypoints must be (17, 3), not {keypoints.shape}")
    points = np.asarray(keypoints[:, :2], np.float32)
    seen = np.zeros(19, bool)
    seen[:17] = keypoints[:, 2] > 0
    seen[_NECK] = seen[_LEFT_SHOULDER] and seen[_RIGHT_SHOULDER]
    seen[_MID_HIP] = seen[_LEFT_HIP] and seen[_RIGHT_HIP]
    neck = _middle(points[_LEFT_SHOULDER], points[_RIGHT_SHOULDER])
    mid_hip = _middle(points[_LEFT_HIP], points[_RIGHT_HIP])
    points = np.concatenate((points, [neck, mid_hip])) * np.array([width, height], np.float32)

    drawing = Image.new("L", (width, height))
    pen = ImageDraw.Draw(drawing)

    def line(start: NDArray[np.float32], end: NDArray[np.float32], label: int) -> None:
        pen.line((_pixel(start), _pixel(end)), width=1, fill=label)

    for start, end, label in _LINES:
        if seen[start] and seen[end]:
            line(points[start], points[end], label)
    if seen[_NECK] and not seen[_NOSE]:
        line(_middle(points[_LEFT_EYE], points[_RIGHT_EYE]), points[_NECK], HEAD)
    return np.asarray(drawing)[None].copy()


def _middle(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return (a + (b - a) / 2).astype(np.float32)


def _pixel(point: NDArray[np.float32]) -> tuple[int, int]:
    x, y = np.rint(point).astype(int).tolist()
    return x, y
