"""What stands in a detector's place where all detections are given and its checkpoints are not here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dp2.errors import DetectionError
from dp2.types import Detections, Image


class GivenDetections:
    """A detector that never looks and names no kinds: those of the given detections count."""

    kinds: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {"detector": "GivenDetections"}

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:  # noqa: ARG002
        """See `dp2.stages.Detector`.

        Raises:
            DetectionError: always; nobody has looked at these frames.
        """
        raise DetectionError("the detections were to be given, and the detector's checkpoints are not on this machine.")
