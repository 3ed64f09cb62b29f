"""People with keypoints and masks, by DeepPrivacy2's keypoint and mask R-CNN R50 (detectron2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dp2.detect.checks import check_fraction, check_images, check_relax, detection_errors, origins
from dp2.detect.people.rcnn import answers, fused, never_empty
from dp2.inference.torch_network import lazy_network
from dp2.types import PERSON, Detections, Image

if TYPE_CHECKING:
    from torch import nn


class KeypointMaskRCNN:
    """Detector of people with masks and COCO's 17 keypoints.

    The confidence of a keypoint is the share of its heat map that lies at the peak, as published.

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
        weights: str = "keypoint_mask_rcnn/R50",
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        self.score_threshold = score_threshold
        self.amp = amp
        self._network = lazy_network(_build, weights, device, fused)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "KeypointMaskRCNN",
            "weights": self._network.identity,
            "score_threshold": self.score_threshold,
            "amp": bool(self.amp),
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("KeypointMaskRCNN"):
            check_images(images)
            found = answers(self._network, images, self.score_threshold * relax, rounded=False, amp=self.amp)
            return [(self._people(answer),) for answer in found]

    def _people(self, answer: dict[str, Any]) -> Detections:
        scores = answer["scores"]
        return Detections(
            PERSON,
            answer["boxes"],
            scores,
            keypoints=answer["keypoints"],
            masks=never_empty(answer["masks"], answer["boxes"]),
            origin=origins(scores, self.score_threshold),
        )


def _build() -> nn.Module:
    from dp2.models.rcnn.keypoint_rcnn import KeypointRCNN

    return KeypointRCNN()
