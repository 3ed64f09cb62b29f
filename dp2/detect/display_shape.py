"""Detection on pictures in the shape in which they are shown: not every video has square pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import joined
from dp2.errors import DetectionError
from dp2.geometry.nms import suppress
from dp2.stages import Detector
from dp2.types import Detections, Frame, Image

_NEARLY_SQUARE = Fraction(102, 100)  # up to here nothing is stretched
_DOUBTFUL = Fraction(3, 2)  # from here on players disagree, so both shapes are searched
_MEANT = Fraction(16)  # no camera has pixels of a shape beyond this
_GROWTH = 4.0  # largest gain in pixels by stretching
_PIXELS = 40_000_000  # where stretching by growing ends and stretching at the same size begins
_SAME = 0.5  # IoU from which boxes of two shapes are one thing

Found = tuple[Detections, ...]


def detect_as_shown(detector: Detector, frames: Sequence[Frame], *, relax: float) -> list[Found]:
    """A detector's answers for frames, found in the shape in which they are shown, in pixels of the frames themselves.

    Args:
        detector: gets pictures with square pixels. Of a frame whose pixels are far from square it gets the stored
            shape too: some players show that one.
        frames: each of any size and pixel aspect.
        relax: as of `Detector`.

    Raises:
        DetectionError: the detector did not answer for every picture.
    """
    views = [_views(frame) for frame in frames]
    images = [image for shapes in views for image in shapes]
    found = detector(images, relax=relax)
    if len(found) != len(images):
        raise DetectionError(f"the detector answered for {len(found)} of {len(images)} pictures.")
    answers = iter(found)
    return [
        _merged([stored(next(answers), view.shape, frame.image.shape) for view in shapes])
        for frame, shapes in zip(frames, views, strict=True)
    ]


def is_meant(aspect: Fraction) -> bool:
    """Whether a pixel aspect can be the shape of a pixel, rather than nonsense."""
    return 1 / _MEANT <= aspect <= _MEANT


def stored(found: Found, shown: tuple[int, ...], size: tuple[int, ...]) -> Found:
    """Detections in a stretched picture as detections in the picture that was stretched.

    Args:
        found: in a picture of the shape `shown`.
        shown, size: (height, width, …) of the stretched picture and of the one before.
    """
    height, width = size[:2]
    if shown[:2] == (height, width):
        return found
    x, y = width / shown[1], height / shown[0]
    return tuple(_scaled(part, x, y, (width, height)) for part in found)


def _views(frame: Frame) -> list[Image]:
    aspect = frame.pixel_aspect
    strength = max(aspect, 1 / aspect)
    if strength <= _NEARLY_SQUARE or not is_meant(aspect):
        return [frame.image]
    shown = _stretched(frame.image, aspect)
    return [shown] if strength <= _DOUBTFUL else [shown, frame.image]


def _stretched(image: Image, aspect: Fraction) -> Image:
    """Wider by the aspect, or higher by its inverse, so that no detail is lost; huge pictures keep their area."""
    height, width = image.shape[:2]
    growth = min(float(max(aspect, 1 / aspect)), _GROWTH, max(1.0, _PIXELS / (height * width)))
    shape = float(aspect)
    size = (max(1, round(width * math.sqrt(growth * shape))), max(1, round(height * math.sqrt(growth / shape))))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _scaled(part: Detections, x: float, y: float, size: tuple[int, int]) -> Detections:
    box = np.array([x, y, x, y], np.float32)
    return part.with_(
        boxes=part.boxes * box,
        keypoints=None if part.keypoints is None else part.keypoints * np.array([x, y, 1], np.float32),
        masks=None if part.masks is None else _resized(part.masks, size),
        surface_boxes=None if part.surface_boxes is None else part.surface_boxes * box,
        steady=None if part.steady is None else _scaled(part.steady, x, y, size),
    )


def _resized(masks: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A pixel belongs to the thing if any of the pixels that it became does."""
    width, height = size
    out = np.zeros((len(masks), height, width), bool)
    for row, mask in enumerate(masks):
        area = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        out[row] = area > 0
    return out


def _merged(shapes: Sequence[Found]) -> Found:
    """What was found in either shape, each thing once."""
    if len(shapes) == 1:
        return shapes[0]
    return tuple(suppress(joined(parts), _SAME) for parts in zip(*shapes, strict=True))
