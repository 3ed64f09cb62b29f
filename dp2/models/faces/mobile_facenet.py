"""MobileFaceNet: aligned faces to embeddings.

Source: Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices" (CCBR
2018), table 1 for 112×96 pixels; layers are named as in Xiaoccer/MobileFaceNet_Pytorch, whose weights load as they are.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, blocks, stride of the first."""


class _ConvBlock(nn.Module):
    def __init__(
        self,
        channels: tuple[int, int],
        size: int | tuple[int, int],
        *,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        padding = size // 2 if isinstance(size, int) else 0
        self.conv = nn.Conv2d(*channels, size, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels[1])
        self.prelu = nn.PReLU(channels[1]) if act else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.prelu is None else self.prelu(x)


class _Bottleneck(nn.Module):
    """Inverted residual (Sandler et al., "MobileNetV2", CVPR 2018) with PReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class MobileFaceNet(nn.Module):
    """Faces aligned to 112×96 pixels to embeddings of `channels` numbers."""

    channels = 128
    resolution = (112, 96)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _ConvBlock((3, 64), 3, stride=2)
        self.dw_conv1 = _ConvBlock((64, 64), 3, groups=64)
        self.blocks = _stages(64)
        self.conv2 = _ConvBlock((128, 512), 1)
        # a depthwise convolution over the whole map in place of pooling: the middle of the face may weigh more
        self.linear7 = _ConvBlock((512, 512), (7, 6), groups=512, act=False)
        self.linear1 = _ConvBlock((512, self.channels), 1, act=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 112, 96) float32 RGB in [-1, 1] to (N, 128) float32 of length 1."""
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        return F.normalize(self.linear1(self.linear7(x)).flatten(1))


def _stages(channels: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for expansion, out_channels, count, stride in _STAGES:
        for index in range(count):
            blocks.append(_Bottleneck(channels, out_channels, stride if index == 0 else 1, expansion))
            channels = out_channels
    return nn.Sequential(*blocks)
