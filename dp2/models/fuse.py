"""Networks rewritten for speed: constant norms disappear into convolutions, weights lie as the machine wants them."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.models import winograd
from dp2.models.rcnn.resnet_fpn import Conv, FrozenBatchNorm2d

M = TypeVar("M", bound=nn.Module)

# oneDNN packs for a size. Any is right for all, but without one it assumes a few pixels and loses a factor of six
_TYPICAL_SIZE = (48, 64)

# On CPUs with AMX, oneDNN's packed 1×1 convolutions in float32 take up to 14 times as long for fewer pixels than this
_FEW_PIXELS = 2000

FOLDABLE = (FrozenBatchNorm2d, nn.BatchNorm2d)


def fuse_for_inference(module: M, *, dtype: torch.dtype = torch.float32) -> M:
    """Rewrites a network in place, after its weights are loaded and it is on its device.

    Norms with constant statistics are folded into the convolution before them. Weights turn to channels-last; on a
    CPU with oneDNN they are packed once instead of at every call, sum and ReLU happen inside the convolution, and wide
    3×3 convolutions take a quarter of the multiplications (`dp2.models.winograd`) and four times the memory of weights.
    Results stay the same up to rounding. Afterwards the network fits no checkpoint and stays on its device.

    Args:
        module: of `Conv`, or of `nn.Conv2d` alone; other layers stay as they are.
        dtype: of packed convolutions; bfloat16 pays on CPUs that multiply it natively. A GPU wants autocast instead.

    Returns:
        the same module.
    """
    module.eval()
    with torch.no_grad():
        for conv in [child for child in module.modules() if isinstance(child, Conv)]:
            if isinstance(conv.norm, FOLDABLE):
                fold_norm(conv, conv.norm)
                conv.norm = None
        module.to(memory_format=torch.channels_last)
        if can_pack(module):
            _pack_children(module, dtype)
    return module


def fold_norm(conv: nn.Conv2d, norm: nn.Module) -> None:
    """Weights and bias of a convolution changed so that the norm behind it has nothing left to do.

    Args:
        norm: one of `FOLDABLE`.
    """
    mean, var, scale, shift = (
        getattr(norm, name).double() for name in ("running_mean", "running_var", "weight", "bias")
    )
    factor = scale * (var + norm.eps).rsqrt()
    bias = 0.0 if conv.bias is None else conv.bias.double()
    conv.weight = nn.Parameter((conv.weight.double() * factor.view(-1, 1, 1, 1)).to(conv.weight.dtype))
    conv.bias = nn.Parameter(((bias - mean) * factor + shift).to(conv.weight.dtype))


def can_pack(module: nn.Module) -> bool:
    """Whether the network is on a CPU for which this torch has packed convolutions."""
    on_cpu = all(weight.device.type == "cpu" for weight in module.parameters())
    return on_cpu and torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class PackedConv(nn.Module):
    """A convolution by oneDNN with its weights packed beforehand, and sum and ReLU within."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm = getattr(conv, "norm", None)
        self.relu = getattr(conv, "relu", False)
        self.dtype = dtype
        self.geometry = [list(map(int, pair)) for pair in (conv.padding, conv.stride, conv.dilation)]
        self.groups = conv.groups
        weight = conv.weight.detach().to(dtype).contiguous().to_mkldnn()
        padding, stride, dilation = self.geometry
        example = [1, conv.in_channels, *_TYPICAL_SIZE]
        pack: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
        self.weight = pack(weight, padding, stride, dilation, self.groups, example)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        pointwise = conv.kernel_size == (1, 1) and stride == [1, 1] and padding == [0, 0] and conv.groups == 1
        self.matrix = conv.weight.detach().flatten(1) if pointwise and dtype == torch.float32 else None
        unit = stride == dilation == [1, 1] and padding == [1, 1] and conv.groups == 1
        self.small = unit and conv.kernel_size == (3, 3) and dtype == torch.float32
        self.plain = conv.weight.detach() if self.small else None
        self.kernel: Tensor | None = None  # four times the weights: made when first used

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """As `Conv`; `onto` is overwritten."""
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        if self.matrix is not None and x.shape[0] * x.shape[2] * x.shape[3] < _FEW_PIXELS:
            return self._behind(F.linear(x.permute(0, 2, 3, 1), self.matrix, self.bias).permute(0, 3, 1, 2), onto)
        if self.small and winograd.pays(padded := _to_tiles(x)):
            y = winograd.convolve(padded, self._winograd_kernel(), self.bias)
            return self._behind(y[:, :, : x.shape[2], : x.shape[3]], onto)
        arguments = (x, self.weight, self.bias, *self.geometry, self.groups)
        if self.norm is not None:
            return self._behind(torch.ops.mkldnn._convolution_pointwise(*arguments, "none", [], ""), onto)
        if onto is None:
            relu = "relu" if self.relu else "none"
            return cast(Tensor, torch.ops.mkldnn._convolution_pointwise(*arguments, relu, [], ""))
        onto = onto.to(self.dtype).contiguous(memory_format=torch.channels_last)
        unary = "relu" if self.relu else None
        packed = torch.ops.mkldnn._convolution_pointwise_.binary
        return cast(Tensor, packed(onto, *arguments, "add", 1.0, unary, [], ""))

    def _winograd_kernel(self) -> Tensor:
        if self.kernel is None:
            self.kernel = winograd.transform_kernel(cast(Tensor, self.plain))
        return self.kernel

    def _behind(self, y: Tensor, onto: Tensor | None) -> Tensor:
        y = y if self.norm is None else self.norm(y)
        y = y if onto is None else y.add_(onto)
        return F.relu_(y) if self.relu else y


def _to_tiles(x: Tensor) -> Tensor:
    """[N, C, H, W] with zeros at the right and below, up to whole tiles of 4×4."""
    right, below = -x.shape[3] % 4, -x.shape[2] % 4
    return F.pad(x, (0, right, 0, below)) if right or below else x


def _pack_children(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and type(child) in (Conv, nn.Conv2d):
            setattr(module, name, PackedConv(child, dtype))
        else:
            _pack_children(child, dtype)
