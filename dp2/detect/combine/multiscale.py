"""A detector run over a frame in several sizes and, where the frame is large, in tiles.

A network misses faces that are far larger or far smaller than those it was trained on: small faces are found at full
size, large ones in the smaller passes, and no pass needs the memory of a huge frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import by_size, check_fraction, check_images, check_relax, detection_errors, joined, origins
from dp2.detect.combine.scale import Tiling, pyramid, tiles
from dp2.errors import UsageError
from dp2.geometry.nms import areas, intersections, suppress
from dp2.stages import Detector
from dp2.types import Box, Detections, Image, Origin

# A box cut off at a tile's edge goes if another box, not cut off, covers this share of it
_COVERED = 0.7
_EDGE = 2.0  # pixels of the pass; boxes end a little inside the tile that cuts them


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Rows of one kind from one tile, in the frame's pixels; `cut` (N,) bool: reaches over the tile's edge."""

    detections: Detections
    cut: NDArray[np.bool_]


class MultiScale:
    """Runs a detector in several passes over each frame and merges what they find.

    Of several finds of one thing the surest stays. Detectors that give masks are not supported.

    Args:
        detector: sees every pass at the size it is given; its own `scale` should be "auto" or 1.
        scales: factors of the passes; "auto" = 1, 1/2, 1/4, … as long as the longer side stays at least `shortest`.
        shortest: see `scales`.
        tile: longest side of what the detector is shown at once, in pixels.
        overlap: of neighbouring tiles, in pixels. A face up to this size lies whole in one of them; larger ones are
            whole in the next smaller pass, where they have half the size.
        nms_iou: largest overlap of two boxes of one kind.
        score_threshold: what scores below it is not reported, or as weak if the caller relaxes it; None = what the
            detector itself reports. It can only be stricter than the detector's.

    Raises:
        UsageError: a value is out of its range.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        scales: Literal["auto"] | Sequence[float] = "auto",
        shortest: int = 320,
        tile: int = 1536,
        overlap: int = 192,
        nms_iou: float = 0.3,
        score_threshold: float | None = None,
    ) -> None:
        if scales != "auto" and (isinstance(scales, str) or not scales or not all(scale > 0 for scale in scales)):
            raise UsageError(f"scales must be auto or positive factors, not {scales!r}")
        check_fraction("nms_iou", nms_iou)
        if score_threshold is not None:
            check_fraction("score_threshold", score_threshold)
        self.detector = detector
        self.scales: Literal["auto"] | tuple[float, ...] = "auto" if scales == "auto" else tuple(map(float, scales))
        self.shortest = shortest
        self.tiling = Tiling(tile, overlap)
        self.nms_iou = nms_iou
        self.score_threshold = score_threshold

    @property
    def kinds(self) -> tuple[str, ...]:
        """The detector's kinds."""
        return self.detector.kinds

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "MultiScale",
            "of": self.detector.settings,
            "scales": self.scales if isinstance(self.scales, str) else list(self.scales),
            "shortest": self.shortest,
            "tile": self.tiling.tile,
            "overlap": self.tiling.overlap,
            "nms_iou": self.nms_iou,
            "score_threshold": self.score_threshold,
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("MultiScale"):
            check_images(images)
            return by_size(images, lambda some: self._detect(some, relax))

    def _detect(self, images: Sequence[Image], relax: float) -> list[tuple[Detections, ...]]:
        """Frames of one size."""
        height, width = images[0].shape[:2]
        scales = pyramid((width, height), self.shortest) if isinstance(self.scales, str) else self.scales
        found: list[list[list[_Part]]] = [[[] for _ in self.kinds] for _ in images]
        for scale in scales:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            resized = [_resized(image, size) for image in images]
            views = [(row, tile) for tile in tiles(size, self.tiling) for row in range(len(images))]
            shown = [resized[row][y0:y1, x0:x1] for row, (x0, y0, x1, y1) in views]
            for (row, tile), kinds in zip(views, self.detector(shown, relax=relax), strict=True):
                for parts, detections in zip(found[row], kinds, strict=True):
                    parts.append(_placed(detections, tile, size, (width, height)))
        return [tuple(self._merged(parts, relax) for parts in kinds) for kinds in found]

    def _merged(self, parts: Sequence[_Part], relax: float) -> Detections:
        rows = joined([part.detections for part in parts])
        rows = rows[~_redundant(rows, np.concatenate([part.cut for part in parts]))]
        if self.score_threshold is not None:
            rows = rows[rows.scores >= np.float32(self.score_threshold * relax)]
            origin = np.maximum(rows.origins, origins(rows.scores, self.score_threshold))
            rows = rows.with_(origin=origin)
        return suppress(rows, self.nms_iou)


def _resized(image: Image, size: tuple[int, int]) -> Image:
    import cv2

    if size == image.shape[1::-1]:
        return image
    shrinks = size[0] < image.shape[1]
    resized: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized


def _placed(detections: Detections, tile: Box, size: tuple[int, int], frame: tuple[int, int]) -> _Part:
    """Rows in a tile's pixels as rows in the frame's; `size` is that of the resized frame, both (width, height)."""
    if detections.masks is not None and len(detections):
        raise UsageError("MultiScale cannot merge masks: use the detector that gives them without it")
    x0, y0, x1, y1 = tile
    edges = np.array([x0, y0, size[0] - x1, size[1] - y1]) > 0  # those with a neighbour behind them
    inner = np.array([_EDGE, _EDGE, x1 - x0 - _EDGE, y1 - y0 - _EDGE])
    beyond = np.concatenate([detections.boxes[:, :2] < inner[:2], detections.boxes[:, 2:] > inner[2:]], 1)
    factor = np.array([frame[0] / size[0], frame[1] / size[1]], np.float32)
    shift = np.array([x0, y0], np.float32)
    boxes = (detections.boxes.reshape(-1, 2, 2) + shift) * factor
    keypoints = detections.keypoints
    if keypoints is not None:
        keypoints = np.concatenate([(keypoints[:, :, :2] + shift) * factor, keypoints[:, :, 2:]], 2)
    placed = detections.with_(boxes=boxes.reshape(-1, 4), keypoints=keypoints, masks=None)
    cut: NDArray[np.bool_] = np.any(beyond & edges, axis=1)
    return _Part(placed, cut)


def _redundant(rows: Detections, cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) bool: cut off at a seam, and found whole in another tile or pass at least as surely."""
    shared = intersections(rows.boxes, rows.boxes)
    weak = rows.origins == Origin.WEAK
    whole = ~cut[None, :] & (~weak[None, :] | weak[:, None])
    covered = (shared >= _COVERED * areas(rows.boxes)[:, None]) & whole
    redundant: NDArray[np.bool_] = cut & covered.any(axis=1)
    return redundant
