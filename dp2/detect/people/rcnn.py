"""What the detectors by R-CNNs share: from frames to the network and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dp2.inference.lazy_network import LazyNetwork
from dp2.inference.torch_network import half_precision
from dp2.types import Image

if TYPE_CHECKING:
    from torch import nn


def fused(network: nn.Module) -> nn.Module:
    """Faster for inference; see `dp2.models.fuse`."""
    from dp2.models.fuse import fuse_for_inference

    return fuse_for_inference(network)


def answers(
    network: LazyNetwork[nn.Module],
    images: Sequence[Image],
    threshold: float,
    classes: tuple[int, ...] | None = None,
    *,
    rounded: bool = True,
    amp: bool | None = None,
) -> list[dict[str, Any]]:
    """What an R-CNN finds in frames.

    Args:
        network: one of `dp2.models`' R-CNNs.
        images: (H, W, 3) uint8 RGB each; the resize is antialiased, the shorter side 800, the longer at most 1333.
        threshold: detections score more than this.
        classes: those wanted, None = all.
        rounded: resize to bytes, as the published pipeline does for Mask R-CNN and CSE.
        amp: see `half_precision`.

    Returns:
        for each frame the fields of the network's detections as numpy arrays.
    """
    import torch

    from dp2.models.rcnn.base import resize_shortest_edge
    from dp2.models.rcnn.roi_heads import Selection

    loaded, device = network.get()
    with torch.inference_mode():
        planes = [torch.tensor(image).to(device).permute(2, 0, 1) for image in images]
        resized = [resize_shortest_edge(plane if rounded else plane.float()) for plane in planes]
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        with half_precision(amp, device):
            found = loaded(resized, sizes, Selection(score_threshold=threshold, classes=classes))
    return [{name: getattr(one, name).cpu().numpy() for name in one.__dataclass_fields__} for one in found]


def torchvision_answers(
    network: LazyNetwork[nn.Module], images: Sequence[Image], amp: bool | None
) -> list[dict[str, NDArray[Any]]]:
    """What one of torchvision's R-CNNs says of (H, W, 3) uint8 RGB frames: for each its fields as numpy arrays."""
    import torch

    loaded, device = network.get()
    planes = [torch.tensor(image).to(device).permute(2, 0, 1).float() / 255 for image in images]
    with torch.inference_mode(), half_precision(amp, device):
        return [{name: value.cpu().numpy() for name, value in answer.items()} for answer in loaded(planes)]


def never_empty(masks: NDArray[np.bool_], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Masks (N, H, W), where a region without a pixel is its whole box: somebody is there, and nothing else known."""
    filled = masks.copy()
    for mask, (x0, y0, x1, y1) in zip(filled, boxes, strict=True):
        if not mask.any():
            mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return filled
