"""Mask R-CNN as in detectron2's model zoo (`COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dp2.models.rcnn.base import RCNN, RCNNSettings, Regions, in_batches, per_image
from dp2.models.rcnn.paste_masks import paste_masks
from dp2.models.rcnn.resnet_fpn import BackboneSettings
from dp2.models.rcnn.roi_align import RoiAlign
from dp2.models.rcnn.roi_heads import MaskHead, Selection

X101_32X8D = RCNNSettings(
    backbone=BackboneSettings(depths=(3, 4, 23, 3), groups=32, width_per_group=8, stride_in_1x1=False),
    pixel_std=(57.375, 57.120, 58.395),
)

PERSON = 0

_MASK_SIDE = 14


@dataclass(frozen=True)
class MaskDetections:
    """What is found in one image, best first.

    Attributes:
        boxes: (N, 4) float32 x0 y0 x1 y1 in pixels of the original image.
        scores: (N,) float32.
        classes: (N,) int64, places in COCO's list of 80; a person is 0.
        masks: (N, H, W) bool at the original size.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    masks: Tensor


class MaskRCNN(RCNN):
    """Boxes, classes and masks.

    Args:
        settings: sizes; the default is the published ResNeXt-101-32x8d.
    """

    def __init__(self, *, settings: RCNNSettings = X101_32X8D) -> None:
        head = MaskHead(channels=settings.backbone.fpn_channels, classes=settings.classes)
        super().__init__(settings=settings, heads={"mask_head": head})

    def forward(
        self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]], selection: Selection
    ) -> list[MaskDetections]:
        """Detections of each image; equally large ones go through the network together.

        Args:
            images: (3, H, W) each, RGB in 0..255, resized (`resize_shortest_edge`).
            sizes: (height, width) of each original image.
            selection: with `classes`, masks are made for those only.

        Raises:
            DetectionError: the network's output is not finite.
        """

        def batch(stacked: Tensor, members: list[int]) -> list[MaskDetections]:
            originals = [sizes[i] for i in members]
            regions = self.find_regions(stacked, originals, selection)
            masks = region_masks(self.roi_heads["mask_head"], regions)
            return [
                MaskDetections(boxes, found.scores, found.classes, paste_masks(soft, boxes, size))
                for found, boxes, soft, size in zip(
                    regions.detections, regions.output_boxes, masks, originals, strict=True
                )
            ]

        return in_batches(images, batch)


def region_masks(head: nn.Module, regions: Regions) -> list[Tensor]:
    """For each image (R_i, 28, 28) probabilities within its boxes."""
    features = RoiAlign()(regions.features, regions.boxes, _MASK_SIDE)
    masks: Tensor = head(features, torch.cat([found.classes for found in regions.detections]))
    return per_image(masks, regions.counts)
