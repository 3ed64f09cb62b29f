"""People with masks at the speed of video on a processor: boxes from one small network, masks from another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dp2.detect.checks import check_images, check_relax, detection_errors
from dp2.detect.people.matte import SelfieMatte
from dp2.errors import UsageError
from dp2.stages import Detector
from dp2.types import PERSON, Detections, Image


class LightBodies:
    """Gives the people that a detector of boxes finds their masks; other kinds pass through.

    A mask holds all of its person that the matte shows, and more where it is unsure; see `dp2.detect.people.matte`.

    Args:
        boxes: finds people, e.g. `dp2.detect.people.yolox.Yolox`.
        matte: makes the masks.

    Raises:
        UsageError: `boxes` finds no people.
    """

    def __init__(self, boxes: Detector, matte: SelfieMatte) -> None:
        if PERSON not in boxes.kinds:
            raise UsageError(f"the detector of boxes finds {', '.join(boxes.kinds)}, but masks are made for {PERSON}")
        self.boxes = boxes
        self.matte = matte

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of the detector of boxes."""
        return self.boxes.kinds

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {"detector": "LightBodies", "boxes": self.boxes.settings, "matte": self.matte.settings}

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("LightBodies"):
            check_images(images)
            found = self.boxes(images, relax=relax)
            place = self.kinds.index(PERSON)
            people: list[Detections] = [kinds[place] for kinds in found]
            masks = self.matte(images, [rows.boxes for rows in people])
            masked = [rows.with_(masks=mask) for rows, mask in zip(people, masks, strict=True)]
            return [(*kinds[:place], rows, *kinds[place + 1 :]) for kinds, rows in zip(found, masked, strict=True)]
