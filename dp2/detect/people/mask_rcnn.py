"""People and vehicles with their masks, by DeepPrivacy2's Mask R-CNN X101-32x8d (detectron2's model zoo)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dp2.detect.checks import check_fraction, check_images, check_relax, detection_errors, origins
from dp2.detect.people.rcnn import answers, fused, never_empty
from dp2.errors import UsageError
from dp2.inference.torch_network import lazy_network
from dp2.types import PERSON, VEHICLE, Detections, Image

if TYPE_CHECKING:
    from torch import nn

# Places in COCO's list of 80; vehicles are what carries a number plate: car, motorcycle, bus, truck
_CLASSES = {PERSON: (0,), VEHICLE: (2, 3, 5, 7)}


class MaskRCNN:
    """Detector of people and vehicles with masks.

    Args:
        kinds: what is reported, of "person" and "vehicle".
        score_threshold: what scores less is not reported, or as weak if the caller relaxes it.
        device: "auto", "cpu", "cuda", …
        amp: half precision on a GPU; elsewhere, and by default, float32 as published.
        weights: name in the registry, or a file.

    Raises:
        UsageError: a value is out of its range.
        MissingWeights: the checkpoint is not on this machine.
    """

    extra = "torch"  # of `dp2.extras`: what it needs

    def __init__(
        self,
        *,
        kinds: Sequence[str] = (PERSON,),
        score_threshold: float = 0.3,
        device: str = "auto",
        amp: bool | None = None,
        weights: str = "mask_rcnn/X101",
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        unknown = [kind for kind in kinds if kind not in _CLASSES]
        if unknown or not kinds:
            raise UsageError(f"Mask R-CNN finds {' and '.join(_CLASSES)}, not {', '.join(unknown) or 'nothing'}.")
        self._kinds = tuple(kinds)
        self.score_threshold = score_threshold
        self.amp = amp
        self._network = lazy_network(_build, weights, device, fused)

    @property
    def kinds(self) -> tuple[str, ...]:
        """As given."""
        return self._kinds

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "MaskRCNN",
            "kinds": list(self.kinds),
            "weights": self._network.identity,
            "score_threshold": self.score_threshold,
            "amp": bool(self.amp),
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("MaskRCNN"):
            check_images(images)
            classes = tuple(number for kind in self.kinds for number in _CLASSES[kind])
            found = answers(self._network, images, self.score_threshold * relax, classes, amp=self.amp)
            return [tuple(self._of_kind(kind, answer) for kind in self.kinds) for answer in found]

    def _of_kind(self, kind: str, answer: dict[str, Any]) -> Detections:
        rows = np.isin(answer["classes"], _CLASSES[kind])
        boxes, scores = answer["boxes"][rows], answer["scores"][rows]
        masks = never_empty(answer["masks"][rows], boxes)
        return Detections(kind, boxes, scores, masks=masks, origin=origins(scores, self.score_threshold))


def _build() -> nn.Module:
    from dp2.models.rcnn.mask_rcnn import MaskRCNN as Network

    return Network()
