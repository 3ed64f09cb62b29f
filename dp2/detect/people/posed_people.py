"""People with keypoints, top-down: a detector of people, and ViTPose (Xu et al. 2022, arXiv 2204.12484) on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import check_images, check_relax, detection_errors, require_finite
from dp2.errors import UsageError
from dp2.geometry.mask_matching import masks_to_boxes
from dp2.inference.torch_network import half_precision, lazy_network
from dp2.stages import Detector
from dp2.types import PERSON, Detections, Image

if TYPE_CHECKING:
    from torch import nn

MODELS = ("base", "large", "huge")
_AT_ONCE = 32  # people in the network


class PosedPeople:
    """Gives the people that a detector finds COCO's 17 keypoints; other kinds pass through.

    Each person is looked at in the box around its mask, as published, or in its own box where there are no masks. The
    confidence of a keypoint is the height of its heat map's peak, limited to [0, 1].

    Args:
        people: finds people.
        model: "base", "large" or "huge".
        device: "auto", "cpu", "cuda", …
        amp: half precision on a GPU; elsewhere, and by default, float32 as published.
        weights: name in the registry, or a file; None = the published one of the model.

    Raises:
        UsageError: a value is out of its range, or the detector finds no people.
        MissingWeights: the checkpoint is not on this machine.
    """

    extra = "torch"  # of `dp2.extras`: what it needs

    def __init__(
        self,
        people: Detector,
        *,
        model: str = "huge",
        device: str = "auto",
        amp: bool | None = None,
        weights: str | None = None,
    ) -> None:
        if PERSON not in people.kinds:
            raise UsageError(f"poses are found for {PERSON}, but the detector finds {', '.join(people.kinds)}.")
        if model not in MODELS:
            raise UsageError(f"the model of ViTPose is one of {', '.join(MODELS)}, not {model}.")
        self.people = people
        self.model = model
        self.amp = amp
        self._network = lazy_network(self._build, weights or f"vitpose/{model}", device)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of the detector of people."""
        return self.people.kinds

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "PosedPeople",
            "people": self.people.settings,
            "model": self.model,
            "weights": self._network.identity,
            "amp": bool(self.amp),
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("PosedPeople"):
            check_images(images)
            found = self.people(images, relax=relax)
            place = self.kinds.index(PERSON)
            boxes = [_looked_at(kinds[place]) for kinds in found]
            poses = self._poses(images, boxes)
            return [
                (*kinds[:place], kinds[place].with_(keypoints=points), *kinds[place + 1 :])
                for kinds, points in zip(found, poses, strict=True)
            ]

    def _poses(self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """(N, 17, 3) for the boxes of each frame; the people of all frames go through the network together."""
        if not sum(map(len, boxes)):
            return [np.zeros((0, 17, 3), np.float32) for _ in boxes]
        import torch

        from dp2.models.vit_pose import cut, decode

        network, device = self._network.get()
        with torch.inference_mode():
            pairs = zip(images, boxes, strict=True)
            crops = torch.cat([cut(torch.tensor(im).to(device).permute(2, 0, 1), own.tolist()) for im, own in pairs])
            with half_precision(self.amp, device):
                parts = [network(part) for part in crops.split(_AT_ONCE)]  # type: ignore[no-untyped-call]
            points = decode(torch.cat(parts).float(), np.concatenate(boxes).tolist()).cpu().numpy()
        require_finite("PosedPeople", points)
        points[..., 2] = points[..., 2].clip(0, 1)
        return np.split(points, np.cumsum([len(own) for own in boxes])[:-1])

    def _build(self) -> nn.Module:
        from dp2.models import vit_pose

        sizes = {"base": vit_pose.BASE, "large": vit_pose.LARGE, "huge": vit_pose.HUGE}
        return vit_pose.ViTPose(sizes[self.model])


def _looked_at(people: Detections) -> NDArray[np.float32]:
    """(N, 4) boxes of at least a pixel."""
    boxes = people.boxes if people.masks is None else masks_to_boxes(people.masks)
    low = np.floor(boxes[:, :2])
    return np.concatenate([low, np.maximum(np.ceil(boxes[:, 2:]), low + 1)], axis=1).astype(np.float32)
