"""Several detectors as one: what any of them finds counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dp2.detect.checks import check_fraction, joined
from dp2.errors import UsageError
from dp2.geometry.nms import suppress
from dp2.stages import Detector
from dp2.types import Detections, Image


class Union:
    """The union of what several detectors find, after suppression per kind.

    Keypoints, masks and surfaces stay only where every detector of the kind gives them in the same form.

    Args:
        detectors: at least one.
        nms_iou: largest overlap of two boxes of one kind.

    Raises:
        UsageError: no detector is given, or a value is out of its range.
    """

    def __init__(self, detectors: Sequence[Detector], *, nms_iou: float = 0.3) -> None:
        if not detectors:
            raise UsageError("a union needs at least one detector")
        check_fraction("nms_iou", nms_iou)
        self.detectors = tuple(detectors)
        self.nms_iou = nms_iou

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of all detectors, in the order in which they are first named."""
        return tuple(dict.fromkeys(kind for detector in self.detectors for kind in detector.kinds))

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "Union",
            "detectors": [detector.settings for detector in self.detectors],
            "nms_iou": self.nms_iou,
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        found = [detector(images, relax=relax) for detector in self.detectors]
        return [self._merge([part for result in results for part in result]) for results in zip(*found, strict=True)]

    def _merge(self, parts: Sequence[Detections]) -> tuple[Detections, ...]:
        groups = {kind: [part for part in parts if part.kind == kind] for kind in self.kinds}
        return tuple(suppress(joined(group), self.nms_iou) for group in groups.values())
