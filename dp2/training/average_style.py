"""The average style of a trained generator, towards which truncation goes."""

from __future__ import annotations

import torch
from torch import nn

from dp2.training.w_centers import random_styles

_COUNT = 10_000


def settle_average_style(network: nn.Module, count: int = _COUNT) -> None:
    """Set the buffer `w_avg` of a generator, wherever it has one, to the mean of its styles.

    Source: Karras et al., "A Style-Based Generator Architecture" (CVPR 2019), appendix B; there the mean is followed
    through training, here it is computed from the weights that are kept, so that it fits them exactly.

    Args:
        network: as `dp2.models.generator.Generator`; one without styles is left as it is.
        count: of styles.
    """
    buffers = [buffer for name, buffer in network.named_buffers() if name.rpartition(".")[2] == "w_avg"]
    if not buffers:
        return
    mean = random_styles(network, count).mean(0)
    with torch.no_grad():
        for buffer in buffers:
            buffer.copy_(mean)
