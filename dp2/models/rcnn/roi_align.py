"""Features of regions, from the pyramid level that suits each region's size.

Sources: He et al. 2017 (Mask R-CNN, RoIAlign), Lin et al. 2017 (equation 1: level of a box); conventions as in
detectron2's `modeling/poolers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torchvision.ops import roi_align

from dp2.models.rcnn.roi_gather import gather_regions

_CANONICAL_SIZE, _CANONICAL_LEVEL, _FIRST_LEVEL = 224.0, 4, 2


@dataclass(frozen=True)
class RoiAlign:
    """How regions are sampled.

    Attributes:
        aligned: with the half-pixel offset (detectron2's ROIAlignV2), or the legacy convention without (ROIAlign).
        sampling_ratio: samples per output cell and axis; 0 = as many as the region has feature pixels there.
    """

    aligned: bool = True
    sampling_ratio: int = 0

    def __call__(self, features: Sequence[Tensor], boxes: Sequence[Tensor], output_size: int) -> Tensor:
        """Square feature maps of regions.

        Args:
            features: pyramid levels from p2 on, [N, C, H / stride, W / stride]; of one level, all regions use it.
            boxes: for each of the N images (R_i, 4) boxes in pixels of the network's input.
            output_size: side of the result.

        Returns:
            [R, C, output_size, output_size] float32, the regions of all images in order.
        """
        flat = torch.cat(list(boxes))
        image = torch.cat([box.new_full((len(box), 1), i) for i, box in enumerate(boxes)])
        regions = torch.cat((image, flat), dim=1)  # [R, 5]
        if len(features) == 1:
            return self._sample(features[0], regions, output_size, 0)
        levels = levels_of(flat, len(features))
        output = features[0].new_empty((len(flat), features[0].shape[1], output_size, output_size), dtype=torch.float32)
        for i, level in enumerate(features):
            chosen = (levels == i).nonzero()[:, 0]
            if len(chosen):
                output[chosen] = self._sample(level, regions[chosen], output_size, i)
        return output

    def _sample(self, level: Tensor, regions: Tensor, output_size: int, index: int) -> Tensor:
        scale = 0.5 ** (_FIRST_LEVEL + index)
        level = level.float()  # half precision is summed too coarsely here
        arguments = (level, regions, output_size, scale, self.sampling_ratio, self.aligned)
        by_rows = level.device.type == "cpu" and level.is_contiguous(memory_format=torch.channels_last)
        return gather_regions(*arguments) if by_rows else cast(Tensor, roi_align(*arguments))


def levels_of(boxes: Tensor, levels: int) -> Tensor:
    """(R,) int64 index of the pyramid level, 0 = p2, that each of (R, 4) boxes is pooled from."""
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
    level = torch.floor(_CANONICAL_LEVEL + torch.log2(sides / _CANONICAL_SIZE + 1e-8))
    return level.clamp(_FIRST_LEVEL, _FIRST_LEVEL + levels - 1).long() - _FIRST_LEVEL
