"""ResNet and ResNeXt with a feature pyramid, under detectron2's parameter names, for inference.

Sources: He et al. 2016 (ResNet), Xie et al. 2017 (ResNeXt), Lin et al. 2017 (feature pyramid networks); names and
order of operations as in detectron2's `modeling/backbone/{resnet,fpn}.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = ("p2", "p3", "p4", "p5", "p6")
STRIDES = (4, 8, 16, 32, 64)


@dataclass(frozen=True)
class BackboneSettings:
    """Sizes of a ResNet with FPN. The defaults are ResNet-50 as detectron2's MSRA weights want it.

    Attributes:
        depths: bottleneck blocks in res2 … res5.
        stem_channels: output channels of the stem.
        res2_channels: output channels of res2; they double with each stage.
        groups, width_per_group: grouped 3×3 convolutions; 32 and 8 for ResNeXt-101-32x8d.
        stride_in_1x1: whether the first 1×1 convolution of a stage halves the size (MSRA's weights) or the 3×3 does.
        fpn_channels: channels of every pyramid level.
    """

    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    stem_channels: int = 64
    res2_channels: int = 256
    groups: int = 1
    width_per_group: int = 64
    stride_in_1x1: bool = True
    fpn_channels: int = 256


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics and affine parameters are constants."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels) - eps)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Conv(nn.Conv2d):
    """A convolution with an optional norm (`norm.*` in the state dict) and ReLU behind it; sizes keep by default.

    Args:
        bias: None = where there is no norm.
        norm: applied to the convolution's output.
        relu: whether a ReLU follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool | None = None,
        norm: nn.Module | None = None,
        relu: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            groups=groups,
            bias=norm is None if bias is None else bias,
        )
        self.norm = norm
        self.relu = relu

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Convolution, norm, sum with `onto` (which may be overwritten), ReLU."""
        x = super().forward(x)
        if self.norm is not None:
            x = self.norm(x)
        if onto is not None:
            x = x.add_(onto)
        return F.relu_(x) if self.relu else x


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions beside a shortcut; may overwrite its input."""

    def __init__(
        self, *, in_channels: int, out_channels: int, width: int, stride: int, groups: int, stride_in_1x1: bool
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.shortcut = (
            Conv(in_channels, out_channels, 1, stride=stride, norm=FrozenBatchNorm2d(out_channels))
            if in_channels != out_channels
            else None
        )
        self.conv1 = Conv(in_channels, width, 1, stride=first, norm=FrozenBatchNorm2d(width), relu=True)
        self.conv2 = Conv(width, width, 3, stride=second, groups=groups, norm=FrozenBatchNorm2d(width), relu=True)
        self.conv3 = Conv(width, out_channels, 1, norm=FrozenBatchNorm2d(out_channels), relu=True)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv2(self.conv1(x))
        # Nobody needs x afterwards where it is its own shortcut: a stage's output always meets a `shortcut` next
        return self.conv3(residual, onto=x if self.shortcut is None else self.shortcut(x))  # type: ignore[no-any-return]


class Stem(nn.Module):
    """7×7 convolution and max pooling: to a quarter of the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv(3, channels, 7, stride=2, norm=FrozenBatchNorm2d(channels), relu=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.conv1(x), kernel_size=3, stride=2, padding=1)


class ResNet(nn.Module):
    """Stem and stages `res2` … `res5` (strides 4, 8, 16, 32)."""

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        self.stem = Stem(settings.stem_channels)
        in_channels = settings.stem_channels
        for i, depth in enumerate(settings.depths):
            out_channels = settings.res2_channels << i
            blocks = []
            for block in range(depth):
                blocks.append(
                    Bottleneck(
                        in_channels=in_channels,
                        out_channels=out_channels,
                        width=(settings.groups * settings.width_per_group) << i,
                        stride=2 if block == 0 and i > 0 else 1,
                        groups=settings.groups,
                        stride_in_1x1=settings.stride_in_1x1,
                    )
                )
                in_channels = out_channels
            self.add_module(f"res{i + 2}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) → the outputs of res2 … res5."""
        x = self.stem(x)
        outputs = []
        for i in range(2, 6):
            x = self.get_submodule(f"res{i}")(x)
            outputs.append(x)
        return outputs


class FPN(nn.Module):
    """A ResNet (`bottom_up`) and its feature pyramid."""

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        for i in range(4):
            level, channels = i + 2, settings.fpn_channels
            self.add_module(f"fpn_lateral{level}", Conv(settings.res2_channels << i, channels, 1))
            self.add_module(f"fpn_output{level}", Conv(channels, channels, 3))
        self.bottom_up = ResNet(settings)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) normalised images, sides multiples of 32 → p2 … p6, (N, C, H / stride, W / stride) each."""
        outputs = {}
        merged: Tensor | None = None
        for level, x in reversed(list(enumerate(self.bottom_up(images), start=2))):
            lateral = cast(Tensor, self.get_submodule(f"fpn_lateral{level}")(x))
            merged = lateral if merged is None else lateral + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            outputs[f"p{level}"] = self.get_submodule(f"fpn_output{level}")(merged)
        outputs["p6"] = outputs["p5"][:, :, ::2, ::2]
        return {name: outputs[name] for name in LEVELS}
