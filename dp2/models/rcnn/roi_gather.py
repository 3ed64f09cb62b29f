"""RoIAlign for CPUs, where torchvision's runs on one thread and wants another memory layout.

Every output cell is a weighted sum of feature pixels; in channels-last memory a pixel is one row of a table, and sums
of rows are what `embedding_bag` does on all threads. Source: He et al. 2017, section 3, with torchvision's edge rules.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def gather_regions(
    features: Tensor, regions: Tensor, output_size: int, scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Equal to `torchvision.ops.roi_align`, up to rounding.

    Args:
        features: [N, C, H, W] float32, best channels-last.
        regions: (R, 5) index of the image, x0 y0 x1 y1.
        scale: feature pixels per unit of the boxes.
        sampling_ratio: samples per output cell and axis; 0 = as many as the region has feature pixels there.
        aligned: with the half-pixel offset.

    Returns:
        [R, C, output_size, output_size] float32, channels-last.
    """
    _, channels, height, width = features.shape
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    start = regions[:, 1:3] * scale - (0.5 if aligned else 0.0)  # (R, 2): x, y
    extent = regions[:, 3:5] * scale - (0.5 if aligned else 0.0) - start
    extent = extent if aligned else extent.clamp(min=1.0)
    bins = extent / output_size
    counts = torch.full_like(bins, sampling_ratio) if sampling_ratio else bins.ceil().clamp(min=1)
    first = regions[:, 0].long() * (height * width)
    output = table.new_empty((len(regions), output_size * output_size, channels))
    # Bags of one length at a time: padding all to the longest would cost more than the loop
    pairs, member = torch.unique(counts.long(), dim=0, return_inverse=True)
    for i, (across, down) in enumerate(pairs.tolist()):
        chosen = (member == i).nonzero()[:, 0]
        x, x_weight = _taps(start[chosen, 0], bins[chosen, 0], output_size, across, width)
        y, y_weight = _taps(start[chosen, 1], bins[chosen, 1], output_size, down, height)
        rows = first[chosen, None, None, None, None] + (y * width)[:, :, None, :, None] + x[:, None, :, None, :]
        weights = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]  # [R', S, S, 2·down, 2·across]
        sums = F.embedding_bag(
            rows.flatten(3).flatten(0, 2), table, mode="sum", per_sample_weights=weights.flatten(3).flatten(0, 2)
        )
        output[chosen] = sums.view(len(chosen), -1, channels)
    return output.view(len(regions), output_size, output_size, channels).permute(0, 3, 1, 2)


def _taps(start: Tensor, size: Tensor, cells: int, samples: int, limit: int) -> tuple[Tensor, Tensor]:
    """Of one axis: the pixels that each cell reads, and their weights, both (R, cells, 2·samples)."""
    steps = (torch.arange(cells * samples, device=start.device) + 0.5) / samples
    position = (start[:, None] + steps * size[:, None]).view(len(start), cells, samples)
    outside = (position < -1) | (position > limit)
    position = position.clamp(0, limit - 1)
    low = position.floor()
    upper = (position - low).masked_fill(outside, 0) / samples
    lower = (1 - (position - low)).masked_fill(outside, 0) / samples
    index = low.long()
    return torch.cat((index, (index + 1).clamp(max=limit - 1)), dim=-1), torch.cat((lower, upper), dim=-1)
