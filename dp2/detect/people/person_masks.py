"""People with their masks, by torchvision's Mask R-CNN R50 FPN v2 (Li et al. 2021, arXiv 2111.11429)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dp2.detect.checks import check_fraction, check_images, check_relax, detection_errors, origins, require_finite
from dp2.detect.people.rcnn import torchvision_answers
from dp2.inference.torch_network import lazy_network
from dp2.types import PERSON, Detections, Image

if TYPE_CHECKING:
    from torch import nn

_PERSON = 1  # COCO's category
_MASKED = 0.5  # probability from which a pixel belongs to the person


class PersonMasks:
    """Person detector with masks. The checkpoint is looked for when it is built and loaded with the first frame.

    Args:
        score_threshold: people below it are not reported, or as weak ones if the caller relaxes it.
        device: "auto", "cpu", "cuda", …
        amp: half precision on a GPU; elsewhere, and by default, float32 as published.
        weights: name in the registry, or a file.

    Raises:
        UsageError: a value is out of its range.
        MissingWeights: the checkpoint is not on this machine.
    """

    kinds = (PERSON,)
    extra = "torch"  # of `dp2.extras`: what it needs

    def __init__(
        self,
        *,
        score_threshold: float = 0.3,
        device: str = "auto",
        amp: bool | None = None,
        weights: str = "torchvision/mask_rcnn_v2",
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        self.score_threshold = score_threshold
        self.amp = amp
        self._network = lazy_network(_build, weights, device)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "PersonMasks",
            "weights": self._network.identity,
            "score_threshold": self.score_threshold,
            "amp": bool(self.amp),
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("PersonMasks"):
            check_images(images)
            found = torchvision_answers(self._network, images, self.amp)
            return [(self._people(answer, relax),) for answer in found]

    def _people(self, answer: dict[str, Any], relax: float) -> Detections:
        boxes, scores = answer["boxes"], answer["scores"]
        require_finite("PersonMasks", boxes, scores)
        kept = (answer["labels"] == _PERSON) & (scores >= np.float32(self.score_threshold * relax))
        masks = answer["masks"][kept, 0] > _MASKED
        origin = origins(scores[kept], self.score_threshold)
        return Detections(PERSON, boxes[kept], scores[kept], masks=masks, origin=origin)


def _build() -> nn.Module:
    from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

    network: nn.Module = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
    return network
