"""People with a surface map, by DensePose with continuous surface embeddings (arXiv 2011.12438)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import check_fraction, check_images, check_relax, detection_errors, origins
from dp2.detect.people.rcnn import answers, fused
from dp2.errors import UsageError
from dp2.geometry.bodies import nearest
from dp2.inference.torch_network import lazy_network
from dp2.types import PERSON_SURFACE, Detections, Image

if TYPE_CHECKING:
    from torch import nn

BACKBONES = ("R101_DL_soft", "R50")


class DensePoseCSE:
    """Detector of people with masks and surfaces.

    Args:
        backbone: "R101_DL_soft", or the smaller "R50".
        score_threshold: people below it are not reported, or as weak ones if the caller relaxes it.
        device: "auto", "cpu", "cuda", …
        amp: half precision on a GPU; elsewhere, and by default, float32 as published.
        weights: name in the registry, or a file; of the backbone.

    Raises:
        UsageError: a value is out of its range.
        MissingWeights: the checkpoint is not on this machine.
    """

    kinds = (PERSON_SURFACE,)
    extra = "torch"  # of `dp2.extras`: what it needs

    def __init__(
        self,
        *,
        backbone: str = "R101_DL_soft",
        score_threshold: float = 0.3,
        device: str = "auto",
        amp: bool | None = None,
        weights: str = "cse/R101_DL_soft",
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        if backbone not in BACKBONES:
            raise UsageError(f"the backbone of DensePose CSE is one of {', '.join(BACKBONES)}, not {backbone}.")
        self.backbone = backbone
        self.score_threshold = score_threshold
        self.amp = amp
        self._network = lazy_network(self._build, weights, device, fused)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "DensePoseCSE",
            "backbone": self.backbone,
            "weights": self._network.identity,
            "score_threshold": self.score_threshold,
            "amp": bool(self.amp),
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("DensePoseCSE"):
            check_images(images)
            found = answers(self._network, images, self.score_threshold * relax, amp=self.amp)
            return [(self._people(answer, image.shape[:2]),) for answer, image in zip(found, images, strict=True)]

    def _people(self, answer: dict[str, Any], size: tuple[int, ...]) -> Detections:
        boxes, body = answer["boxes"].astype(np.float32), answer["body"]
        surface = np.concatenate([answer["embedding"], body[:, None].astype(np.float32)], axis=1)
        return Detections(
            PERSON_SURFACE,
            boxes,
            answer["scores"],
            masks=body_masks(body, answer["boxes"], (size[0], size[1])),
            surface=surface,
            surface_boxes=boxes,
            origin=origins(answer["scores"], self.score_threshold),
        )

    def _build(self) -> nn.Module:
        from dp2.models.rcnn import densepose_cse as models

        settings = models.R50 if self.backbone == "R50" else models.R101_DL_SOFT
        return models.DensePoseCSE(settings=settings)


def body_masks(body: NDArray[np.bool_], boxes: NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Segmentations within boxes, in the frame: nearest neighbours, as published.

    Args:
        body: (N, S, S) within the box.
        boxes: (N, 4) whole pixels inside the frame, not empty.
        size: (height, width) of the frame.

    Returns:
        (N, height, width) bool.
    """
    masks = np.zeros((len(body), *size), np.bool_)
    for mask, cells, (x0, y0, x1, y1) in zip(masks, body, boxes.tolist(), strict=True):
        shown = nearest(cells, (y1 - y0, x1 - x0))
        # A body without a pixel still is somebody: the box is all that is known
        mask[y0:y1, x0:x1] = shown if shown.any() else True
    return masks
