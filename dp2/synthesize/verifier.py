"""Does a generator's result show a face at all? What a detector does not take for one is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.geometry.boxes import iou
from dp2.stages import Detector
from dp2.synthesize.crops import Crop
from dp2.types import FACE


@dataclass(frozen=True, kw_only=True)
class FaceVerifier:
    """Looks for a face where one was painted.

    Attributes:
        detector: finds faces in crops.
        threshold: least score of the face found.
        overlap: least intersection over union of its box and the hole's.
    """

    detector: Detector
    threshold: float = 0.5
    overlap: float = 0.4

    def __call__(self, crops: Sequence[Crop], painted: Sequence[NDArray[np.float32]]) -> list[bool]:
        """Whether each crop now shows a face.

        Args:
            crops: as they were cut.
            painted: (h, w, 3) float32 in [0, 255] each, finite.

        Raises:
            DetectionError: the detector failed.
        """
        shown = [
            np.where(crop.keep[..., None], crop.image, np.clip(np.rint(pixels), 0, 255)).astype(np.uint8)
            for crop, pixels in zip(crops, painted, strict=True)
        ]
        verdicts: list[bool] = []
        for crop, found in zip(crops, self.detector(shown), strict=True):
            rows, columns = np.nonzero(~crop.keep)
            hole = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)
            faces = [one for one in found if one.kind == FACE]
            verdicts.append(
                any(
                    score >= self.threshold and iou(box, hole)[0, 0] >= self.overlap
                    for one in faces
                    for box, score in zip(one.boxes, one.scores, strict=True)
                )
            )
        return verdicts
