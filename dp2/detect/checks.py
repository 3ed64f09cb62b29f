"""What all detectors do alike with the frames they get and the rows they return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dp2.errors import DetectionError, EngineError, UsageError, WeightsError
from dp2.extras import needing
from dp2.failures import said
from dp2.types import Detections, Image, Origin

T = TypeVar("T")


@contextmanager
def detection_errors(detector: str) -> Iterator[None]:
    """Whatever goes wrong inside while frames are looked at becomes a `DetectionError`.

    Wrong usage, missing weights and missing packages keep their own type.
    """
    try:
        with needing(detector):
            yield
    except (DetectionError, UsageError, WeightsError, EngineError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        # numpy, cv2, torch and the engines share no base; a frame that nobody looked at must not be written out
        raise DetectionError(f"{detector} failed: {said(error)}") from error


def check_images(images: Sequence[Image]) -> None:
    """Raise `DetectionError` unless all are (H, W, 3) uint8 with at least one pixel."""
    for image in images:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise DetectionError(f"a frame must be (H, W, 3) uint8 with pixels in it, not {image.shape} {image.dtype}")


def check_relax(relax: float) -> None:
    """Raise `UsageError` unless `relax` lies in (0, 1]."""
    if not 0 < relax <= 1:
        raise UsageError(f"relax must lie in (0, 1], not {relax}")


def check_fraction(name: str, value: float) -> None:
    """Raise `UsageError` unless `value` lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} must lie in [0, 1], not {value}")


def by_size(
    images: Sequence[Image], detect: Callable[[Sequence[Image]], Sequence[T]], limit: int | None = None
) -> list[T]:
    """Results of `detect` for frames of any sizes, each call getting only frames of one size.

    Args:
        images: (H, W, 3) each.
        detect: one result for every frame that it gets.
        limit: most pixels of one call's frames together, so that memory stays bounded; a single frame always goes.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(image.shape, []).append(index)
    results: dict[int, T] = {}
    for (height, width, _), indices in groups.items():
        count = len(indices) if limit is None else max(1, limit // (height * width))
        for start in range(0, len(indices), count):
            some = indices[start : start + count]
            results.update(zip(some, detect([images[i] for i in some]), strict=True))
    return [results[index] for index in range(len(images))]


def origins(scores: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """(N,) `Origin`: weak below the threshold."""
    return np.where(scores >= np.float32(threshold), Origin.DETECTED, Origin.WEAK).astype(np.uint8)


def in_frame(detections: Detections, height: int, width: int) -> Detections:
    """The rows whose box shares some area with the frame."""
    x0, y0, x1, y1 = detections.boxes.T
    return detections[(x1 > 0) & (y1 > 0) & (x0 < width) & (y0 < height)]


def require_finite(detector: str, *arrays: NDArray[np.floating]) -> None:
    """Raise `DetectionError` if any value is not a number or infinite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise DetectionError(f"{detector}: the network's output is not finite")


def joined(parts: Sequence[Detections]) -> Detections:
    """All rows of one kind; arrays whose rows differ in shape between the parts are left out."""
    filled = [part for part in parts if len(part)] or list(parts[:1])
    differing: dict[str, None] = {}
    for name in ("keypoints", "masks", "surface"):  # the boxes of surfaces come and go with them
        arrays = [getattr(part, name) for part in filled]
        if len({None if array is None else array.shape[1:] for array in arrays}) > 1:
            differing[name] = None
    return Detections.concatenate([part.with_(**differing) for part in filled])
