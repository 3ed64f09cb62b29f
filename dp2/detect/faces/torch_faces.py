"""What the face detectors that run on torch share: the network's input, its rows as detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dp2.detect.checks import in_frame, origins, require_finite
from dp2.types import FACE, Detections, Image

if TYPE_CHECKING:
    import torch

BATCH_PIXELS = 8 * 1280 * 736


def to_planes(images: Sequence[Image], size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Frames of one size as (N, 3, height, width) float32 RGB in [0, 255], resized to `size` = (width, height)."""
    import cv2
    import torch

    height, width = images[0].shape[:2]
    if size != (width, height):
        way = cv2.INTER_AREA if size[0] * size[1] < width * height else cv2.INTER_LINEAR
        images = [np.asarray(cv2.resize(image, size, interpolation=way), np.uint8) for image in images]
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float()


def faces_in(
    frame: tuple[int, int],
    stretch: tuple[float, float],
    boxes: torch.Tensor,
    scores: torch.Tensor,
    landmarks: torch.Tensor | None,
    threshold: float,
) -> Detections:
    """Rows of a network as detections of a frame.

    Args:
        frame: (height, width).
        stretch: pixels of the frame for one of the network's, along x and y.
        boxes: (N, 4) in the network's pixels.
        scores: (N,).
        landmarks: (N, K, 2) in the network's pixels, or None; they get the score of their face as confidence.
        threshold: score from which a face is no longer weak.

    Raises:
        DetectionError: a value is not finite.
    """
    factors = np.array(stretch, np.float32)
    found = boxes.float().cpu().numpy() * np.tile(factors, 2)
    sure = scores.float().cpu().numpy().clip(0, 1)
    keypoints = None
    if landmarks is not None:
        points = landmarks.float().cpu().numpy() * factors
        confidence = np.broadcast_to(sure[:, None, None], (*points.shape[:2], 1))
        keypoints = np.concatenate([points, confidence], axis=2)
        require_finite("The face detector", keypoints)
    require_finite("The face detector", found, sure)
    faces = Detections(FACE, found, sure, keypoints=keypoints, origin=origins(sure, threshold))
    return in_frame(faces, *frame)
