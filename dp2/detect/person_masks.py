"""People with their masks, by torchvision's Mask R-CNN R50 FPN v2 (Li et al. 2021, arXiv 2111.11429)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dp2.detect.frames import check_fraction, check_images, check_relax, detection_errors, origins, require_finite
from dp2.types import PERSON, Detections, Image
from dp2.weights.store import Store

if TYPE_CHECKING:
    from torch import nn

_PERSON = 1  # COCO's category
_MASKED = 0.5  # probability from which a pixel belongs to the person


class PersonMasks:
    """Person detector with masks. The checkpoint is looked for when it is built and loaded with the first frame.

    Args:
        score_threshold: people below it are not reported, or as weak ones if the caller relaxes it.
        device: "auto", "cpu", "cuda", …
        weights: name in the registry, or a file.

    Raises:
        UsageError: a value is out of its range.
        MissingWeights: the checkpoint is not on this machine.
    """

    kinds = (PERSON,)

    def __init__(
        self, *, score_threshold: float = 0.3, device: str = "auto", weights: str = "torchvision/mask_rcnn_v2"
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        self.score_threshold = score_threshold
        self._device_name = device
        self._weights = weights
        self._path = Store().path(weights)
        self._network: nn.Module | None = None
        self._loading = threading.Lock()

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        status = self._path.stat()
        return {
            "detector": "PersonMasks",
            "weights": [self._weights, status.st_size, status.st_mtime_ns],
            "score_threshold": self.score_threshold,
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("PersonMasks"):
            check_images(images)
            return [(self._people(answer, relax),) for answer in self._answers(images)]

    def _answers(self, images: Sequence[Image]) -> list[dict[str, Any]]:
        import torch

        network = self._loaded()
        device = next(network.parameters()).device
        planes = [torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255 for image in images]
        with torch.inference_mode():
            return [{name: value.cpu().numpy() for name, value in answer.items()} for answer in network(planes)]

    def _people(self, answer: dict[str, Any], relax: float) -> Detections:
        boxes, scores = answer["boxes"], answer["scores"]
        require_finite("PersonMasks", boxes, scores)
        kept = (answer["labels"] == _PERSON) & (scores >= np.float32(self.score_threshold * relax))
        masks = answer["masks"][kept, 0] > _MASKED
        origin = origins(scores[kept], self.score_threshold)
        return Detections(PERSON, boxes[kept], scores[kept], masks=masks, origin=origin)

    def _loaded(self) -> nn.Module:
        with self._loading:
            if self._network is None:
                self._network = self._read()
            return self._network

    def _read(self) -> nn.Module:
        from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

        from dp2.device import pick_device
        from dp2.weights.loading import load_checkpoint, load_strict, network_state

        device = pick_device(self._device_name)
        network = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
        source = str(self._path)
        load_strict(network, network_state(load_checkpoint(self._path), source), source=source)
        ready: nn.Module = network.eval().requires_grad_(False).to(device)
        return ready
