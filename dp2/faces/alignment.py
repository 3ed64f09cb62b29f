"""Cuts faces out as recognition networks saw them in training: upright, at one size, the features in fixed places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dp2.types import Image

SPHEREFACE = np.array(
    [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]], np.float32
)
"""(5, 2) x y of eyes, nose and corners of the mouth in a face of 96×112 pixels (Liu et al., "SphereFace", 2017)."""

_IN_BOX = np.array([[0.27, 0.393], [0.73, 0.393], [0.5, 0.59], [0.295, 0.742], [0.705, 0.742]], np.float32)
"""Medians of CenterFace's and MTCNN's landmarks as fractions of their boxes, over 260 faces, made symmetric."""


def typical_landmarks(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where eyes, nose and mouth of an upright frontal face lie in a detector's box.

    Args:
        boxes: (N, 4) x0 y0 x1 y1 in pixels.

    Returns:
        (N, 5, 2) x y in pixels.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return boxes[:, None, :2] + _IN_BOX * (boxes[:, None, 2:] - boxes[:, None, :2])


def similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rotation, scaling and shift, without mirroring, that brings points nearest to others in least squares.

    Source: Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point Patterns" (PAMI 1991),
    equations 38 to 42.

    Args:
        source, target: (K, 2) x y.

    Returns:
        (2, 3) matrix: target ≈ matrix @ (x, y, 1).

    Raises:
        ValueError: the points are fewer than two, not finite, or all in one place.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or len(source) < 2 or source.shape[1] != 2:
        raise ValueError(f"two arrays (K, 2) of at least two points are needed, not {source.shape} and {target.shape}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("points must be finite")
    from_mean, to_mean = source.mean(0), target.mean(0)
    spread = np.square(source - from_mean).sum(1).mean()
    if spread == 0:
        raise ValueError("all points lie in one place")
    covariance = (target - to_mean).T @ (source - from_mean) / len(source)
    left, strengths, right = np.linalg.svd(covariance)
    signs = np.array([1.0, np.copysign(1.0, np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(signs) @ right * ((strengths * signs).sum() / spread)
    return np.column_stack([rotation, to_mean - rotation @ from_mean])


def aligned(
    image: Image, landmarks: NDArray[np.float32], template: NDArray[np.float32], size: tuple[int, int]
) -> Image:
    """A face with its landmarks brought to a template; black where the picture has ended.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (K, 2) x y in its pixels.
        template: (K, 2) x y in pixels of the result.
        size: (height, width) of the result.

    Returns:
        (height, width, 3) uint8 RGB. A large face is averaged down, so that it does not flicker.

    Raises:
        ValueError: the landmarks are not finite or lie in one place.
    """
    import cv2

    matrix = similarity(landmarks, template)
    part, offset, factor = _shrunk(image, matrix, size)
    # from the shrunk part's pixels (whose centres lie at whole numbers) to the picture's, then to the result's
    back = np.array([[1 / factor[0], 0, offset[0]], [0, 1 / factor[1], offset[1]]])
    back[:, 2] += 0.5 / np.array(factor) - 0.5
    whole = matrix @ np.vstack([back, [0, 0, 1]])
    warped = cv2.warpAffine(part, whole, (size[1], size[0]), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.uint8)


def boxed(image: Image, box: NDArray[np.float32], margin: float, size: tuple[int, int]) -> Image:
    """A box of a picture with a margin, clipped to the picture and stretched to a size.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x0 y0 x1 y1 in pixels.
        margin: added around, as a fraction of the box's width and height, half of it on each side.
        size: (height, width) of the result.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: the box is not finite or lies outside the picture.
    """
    import cv2

    box = np.asarray(box, np.float64)
    if not np.isfinite(box).all():
        raise ValueError("a box must be finite")
    grow = np.tile((box[2:] - box[:2]) * margin / 2, 2) * [-1, -1, 1, 1]
    height, width = image.shape[:2]
    x0, y0, x1, y1 = np.clip(np.trunc(box + grow), 0, [width, height, width, height]).astype(int)
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"the box {np.round(box).tolist()} lies outside a picture of {width}×{height}")
    shrinks = (y1 - y0) * (x1 - x0) > size[0] * size[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image[y0:y1, x0:x1], (size[1], size[0]), interpolation=way), np.uint8)


def _shrunk(
    image: Image, matrix: NDArray[np.float64], size: tuple[int, int]
) -> tuple[Image, tuple[int, int], tuple[float, float]]:
    """The part of a picture that a warp shows, no finer than it shows it; its corner, and its scale along x and y."""
    import cv2

    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    corners = np.array([[0, 0, 1], [size[1], 0, 1], [0, size[0], 1], [size[1], size[0], 1]], np.float64)
    shown = corners @ inverse.T
    height, width = image.shape[:2]
    room = 2 / min(scale, 1.0)
    x0, y0 = np.clip(np.floor(shown[:, :2].min(0) - room), 0, [width - 1, height - 1]).astype(int)
    x1, y1 = np.clip(np.ceil(shown[:, :2].max(0) + room), [x0 + 1, y0 + 1], [width, height]).astype(int)
    part = image[y0:y1, x0:x1]
    if scale >= 1:
        return part, (x0, y0), (1.0, 1.0)
    small = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    factor = small[0] / part.shape[1], small[1] / part.shape[0]
    return np.asarray(cv2.resize(part, small, interpolation=cv2.INTER_AREA), np.uint8), (x0, y0), factor
