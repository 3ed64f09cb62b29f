"""Keypoint and mask R-CNN of DeepPrivacy2: detectron2's ResNet-50 with FPN, a mask head and a keypoint head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from dp2.models.rcnn.base import RCNN, RCNNSettings, Regions, in_batches, per_image
from dp2.models.rcnn.mask_rcnn import region_masks
from dp2.models.rcnn.paste_masks import paste_masks
from dp2.models.rcnn.roi_align import RoiAlign
from dp2.models.rcnn.roi_heads import KeypointHead, MaskHead, Selection

R50 = RCNNSettings(classes=1)

_KEYPOINT_SIDE = 14


@dataclass(frozen=True)
class KeypointDetections:
    """People found in one image, best first.

    Attributes:
        boxes: (N, 4) float32 x0 y0 x1 y1 in pixels of the original image.
        scores: (N,) float32.
        masks: (N, H, W) bool at the original size.
        keypoints: (N, K, 3) float32: x and y in pixels of the original image, score; COCO's order.
    """

    boxes: Tensor
    scores: Tensor
    masks: Tensor
    keypoints: Tensor


class KeypointRCNN(RCNN):
    """Boxes, masks and keypoints of people.

    Args:
        settings: sizes; the default is the published ResNet-50.
        widths: of the convolutions of the keypoint head.
        keypoints: COCO's 17.
    """

    def __init__(
        self, *, settings: RCNNSettings = R50, widths: Sequence[int] = (512,) * 8, keypoints: int = 17
    ) -> None:
        channels = settings.backbone.fpn_channels
        heads = {
            "mask_head": MaskHead(channels=channels, classes=settings.classes),
            "keypoint_head": KeypointHead(channels=channels, widths=widths, keypoints=keypoints),
        }
        super().__init__(settings=settings, heads=heads)

    def forward(
        self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]], selection: Selection
    ) -> list[KeypointDetections]:
        """Detections of each image; equally large ones go through the network together.

        Args:
            images: (3, H, W) each, RGB in 0..255, resized as float32 (the published pipeline does not round here).
            sizes: (height, width) of each original image.

        Raises:
            DetectionError: the network's output is not finite.
        """

        def batch(stacked: Tensor, members: list[int]) -> list[KeypointDetections]:
            originals = [sizes[i] for i in members]
            regions = self.find_regions(stacked, originals, selection)
            masks = region_masks(self.roi_heads["mask_head"], regions)
            heatmaps = self._heatmaps(regions)
            results = []
            for i, (height, width) in enumerate(originals):
                points = locate_keypoints(heatmaps[i], regions.detections[i].boxes)
                points[..., 0] *= width / stacked.shape[-1]
                points[..., 1] *= height / stacked.shape[-2]
                boxes = regions.output_boxes[i]
                pasted = paste_masks(masks[i], boxes, (height, width))
                results.append(KeypointDetections(boxes, regions.detections[i].scores, pasted, points))
            return results

        return in_batches(images, batch)

    def _heatmaps(self, regions: Regions) -> list[Tensor]:
        features = RoiAlign()(regions.features, regions.boxes, _KEYPOINT_SIDE)
        heatmaps: Tensor = self.roi_heads["keypoint_head"](features)
        return per_image(heatmaps, regions.counts)


def locate_keypoints(heatmaps: Tensor, boxes: Tensor) -> Tensor:
    """The peak of each keypoint's heat map, enlarged to its box (detectron2's `heatmaps_to_keypoints`).

    Args:
        heatmaps: (N, K, S, S) logits.
        boxes: (N, 4) in pixels.

    Returns:
        (N, K, 3) float32: x and y in pixels, and the peak's softmax value over the S × S map.
    """
    points = heatmaps.new_zeros((*heatmaps.shape[:2], 3))
    for i, (x0, y0, x1, y1) in enumerate(boxes.unbind(0)):
        width, height = (x1 - x0).clamp(min=1), (y1 - y0).clamp(min=1)
        shape = (int(height.ceil()), int(width.ceil()))
        enlarged = F.interpolate(heatmaps[i : i + 1], size=shape, mode="bicubic", align_corners=False)[0].flatten(1)
        peak, place = enlarged.max(dim=1)
        points[i, :, 0] = x0 + (place % shape[1] + 0.5) * (width / shape[1])
        points[i, :, 1] = y0 + (place // shape[1] + 0.5) * (height / shape[0])
        points[i, :, 2] = 1 / (heatmaps[i].flatten(1) - peak[:, None]).exp().sum(dim=1)
    return points
