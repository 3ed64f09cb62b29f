"""Batch normalisation of fixed statistics, folded into the convolution before it."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """An equivalent copy for inference without batch normalisation, where each followed a convolution.

    "Followed" means: is the next child of the same parent, as in `nn.Sequential` and in torchvision's residual blocks.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(copied.modules()):
        before: tuple[str, nn.Module] | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and before is not None and isinstance(before[1], nn.Conv2d):
                setattr(parent, before[0], fuse_conv_bn_eval(before[1], child))
                setattr(parent, name, nn.Identity())
            before = name, child
    return copied
