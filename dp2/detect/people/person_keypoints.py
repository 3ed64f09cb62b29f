"""People with keypoints, by torchvision's Keypoint R-CNN R50 FPN: the detector of DeepPrivacy1."""

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


class PersonKeypoints:
    """Detector of people with COCO's 17 keypoints, all of them counted as seen.

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
        weights: str = "torchvision/keypoint_rcnn",
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        self.score_threshold = score_threshold
        self.amp = amp
        self._network = lazy_network(_build, weights, device)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "PersonKeypoints",
            "weights": self._network.identity,
            "score_threshold": self.score_threshold,
            "amp": bool(self.amp),
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("PersonKeypoints"):
            check_images(images)
            found = torchvision_answers(self._network, images, self.amp)
            return [(self._people(answer, relax),) for answer in found]

    def _people(self, answer: dict[str, Any], relax: float) -> Detections:
        boxes, scores, keypoints = answer["boxes"], answer["scores"], answer["keypoints"]
        require_finite("PersonKeypoints", boxes, scores, keypoints)
        kept = scores >= np.float32(self.score_threshold * relax)
        origin = origins(scores[kept], self.score_threshold)
        return Detections(PERSON, boxes[kept], scores[kept], keypoints=keypoints[kept], origin=origin)


def _build() -> nn.Module:
    from torchvision.models.detection import keypointrcnn_resnet50_fpn

    network: nn.Module = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    return network
