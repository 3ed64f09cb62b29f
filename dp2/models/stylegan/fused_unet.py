"""The StyleGAN U-Net rearranged for speed: the same result from fewer passes over memory; it cannot be trained.

What is gained where: learning-rate and activation gains are folded into weights (leaky ReLU is positively
homogeneous), all styles come from one matrix product, everything runs channels-last and in place, the encoder's
1×1 branch takes its pixels from the picture that is filtered for the 3×3 branch anyway, clamping is left out where
instance normalisation already bounds the values, and wide 3×3 convolutions on CPUs go Winograd's way.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.models import winograd
from dp2.models.generator import EMBEDDING, require_style, stack_inputs
from dp2.models.stylegan.layers import Conv2d, ResidualBlock
from dp2.models.stylegan.style_net import Styled

if TYPE_CHECKING:
    from dp2.models.stylegan.unet import StyleGANUnet

Modulation = tuple[Tensor, Tensor]  # scale and shift, (N, C, 1, 1) each


class FusedConv(nn.Module):
    """A `Conv2d` with its gains folded; its result may be overwritten by the caller.

    Raises:
        ValueError: the layer's activation does not commute with a gain.
    """

    weight: Tensor
    bias: Tensor | None
    fir: Tensor

    def __init__(self, conv: Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        if conv.act not in ("linear", "lrelu"):
            raise ValueError(f"cannot fold a gain through {conv.act}")
        self.up, self.down, self.norm, self.padding = conv.up, conv.down, conv.norm, conv.padding
        self.slope = 0.2 if conv.act == "lrelu" else 1.0
        self.clamp = conv.clamp
        self.act_gain = conv.act_gain
        out_channels, in_channels = conv.weight.shape[:2]
        # normalisation undoes gains before it, so there they move behind it
        weight = conv.weight.detach() * (conv.weight_gain * (1.0 if conv.norm else conv.act_gain))
        self.size = weight.shape[2]
        self.kernel: Tensor | None = None
        if self.up > 1 and self.size > 1:
            weight = weight.transpose(0, 1)
        self.register_buffer("weight", weight.to(dtype).contiguous(memory_format=torch.channels_last))
        bias = None if conv.bias is None else (conv.bias.detach() * conv.act_gain).to(dtype)
        self.register_buffer("bias", bias)
        self.bias_peak = 0.0 if bias is None else float(bias.abs().max())
        if conv.resample_filter is not None:
            filtered = out_channels if self.up > 1 else in_channels
            # the filter as torch's convolutions want it; transposed ones flip it themselves
            fir = conv.resample_filter * (self.up**2)
            fir = fir if self.up > 1 and self.size == 1 else fir.flip([0, 1])
            self.register_buffer("fir", fir.to(dtype).expand(filtered, 1, -1, -1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) to (N, O, H·up // down, W·up // down)."""
        return self.activate(self.convolve(x))

    def convolve(self, x: Tensor) -> Tensor:
        """Up to the activation; the bias is in it unless normalisation follows."""
        bias = None if self.norm else self.bias
        if self.up > 1 and self.size > 1:
            x = F.conv_transpose2d(x, self.weight, stride=self.up)
            return F.conv2d(x, self.fir, padding=1, groups=len(self.fir))
        if self.up > 1:
            return F.conv_transpose2d(F.conv2d(x, self.weight), self.fir, stride=2, padding=1, groups=len(self.fir))
        if self.down > 1:
            return self.convolve_filtered(self.low_pass(x))
        if self.size == 3 and winograd.pays(x):
            return winograd.convolve(x, self._winograd_kernel(), bias)
        return F.conv2d(x, self.weight, bias, padding=self.padding)

    def _winograd_kernel(self) -> Tensor:
        # made when first needed, because only the input's size tells whether it is, and it is four times the weight
        if self.kernel is None:
            self.kernel = winograd.transform_kernel(self.weight)
        return self.kernel

    def low_pass(self, x: Tensor) -> Tensor:
        """Filter at full resolution: (N, I, H, W) to (N, I, H + 1, W + 1), as a 3×3 convolution of stride 2 needs."""
        return F.conv2d(x, self.fir, padding=2, groups=len(self.fir))

    def convolve_filtered(self, x: Tensor) -> Tensor:
        """What is left of a convolution that goes down, after `low_pass`."""
        if self.size == 1:
            # the centres of the 3×3 kernels of stride 2
            x = x[:, :, 1::2, 1::2].contiguous(memory_format=torch.channels_last)
            return F.conv2d(x, self.weight, self.bias)
        return F.conv2d(x, self.weight, self.bias, stride=2)

    def activate(self, y: Tensor) -> Tensor:
        """In place: normalise, add bias, activate, clamp."""
        if self.norm:
            y = self._normalise(y)
        if self.slope != 1.0:
            y = F.leaky_relu_(y, self.slope)
        if self.clamp is not None and self._may_exceed(y.shape[2] * y.shape[3], self.clamp):
            y = y.clamp_(-self.clamp, self.clamp)
        return y

    def _normalise(self, y: Tensor) -> Tensor:
        mean, variance = channel_moments(y)
        scale = torch.rsqrt(variance + 1e-5) * self.act_gain
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias.view(1, -1, 1, 1)
        return y.mul_(scale.to(y.dtype)).add_(shift.to(y.dtype))

    def _may_exceed(self, pixels: int, clamp: float) -> bool:
        # of n values with mean 0 and variance 1 none exceeds √n
        return not self.norm or sqrt(pixels) * self.act_gain + self.bias_peak > clamp


def channel_moments(x: Tensor, strips: int = 8) -> tuple[Tensor, Tensor]:
    """Mean and variance of each sample's channels: (N, C, H, W) channels-last to twice (N, C, 1, 1) float32.

    On a CPU torch's `var_mean` is thirty times slower on this layout than batch normalisation's kernel, which
    however adds up in plain float32: strips of rows keep its sums short (Chan, Golub and LeVeque 1983 join them).
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0, keepdim=True)
        return mean, variance
    count = strips if x.shape[2] % strips == 0 else 1
    moments = [
        torch.batch_norm_update_stats(strip, None, None, 0.0)
        for one in torch.split(x, 1)
        for strip in one.chunk(count, dim=2)
    ]
    shape = (x.shape[0], count, x.shape[1], 1, 1)
    means = torch.stack([mean for mean, _ in moments]).view(shape)
    within = torch.stack([variance for _, variance in moments]).view(shape)
    between, mean = torch.var_mean(means, dim=1, correction=0)
    return mean, within.mean(dim=1) + between


class FusedBlock(nn.Module):
    """A `ResidualBlock` of fused convolutions."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv0 = FusedConv(block.conv0, dtype)
        self.conv1 = FusedConv(block.conv1, dtype)
        self.skip = FusedConv(block.skip, dtype)

    def forward(self, x: Tensor, styles: tuple[Modulation, Modulation] | None = None) -> Tensor:
        """(N, I, H, W) to (N, O, H·up // down, W·up // down)."""
        if self.conv0.down > 1:
            filtered = self.conv0.low_pass(x)
            skip = self.skip.activate(self.skip.convolve_filtered(filtered))
            y = self.conv0.activate(self.conv0.convolve_filtered(filtered))
            return skip.add_(self.conv1(y))
        skip = self.skip(x)
        if styles is None:
            return skip.add_(self.conv1(self.conv0(x)))  # type: ignore[no-any-return]
        (scale0, shift0), (scale1, shift1) = styles
        y = self.conv0(torch.addcmul(shift0, x, scale0))
        y = self.conv1(y.mul_(scale1).add_(shift1))
        return skip.add_(y)  # type: ignore[no-any-return]


class FusedStyleGANUnet(Styled):
    """Made by `StyleGANUnet.for_inference`; as `Generator`, with the style network shared with its origin.

    Convolutions run in `dtype`, styles in float32; inputs are converted, the result is float32.
    """

    affine: Tensor
    affine_bias: Tensor

    def __init__(self, generator: StyleGANUnet, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.z_channels = generator.z_channels
        self.resolution = generator.resolution
        self.conditions = generator.conditions
        self.dtype = dtype
        self.style_net = generator.style_net
        encoder: list[ResidualBlock] = list(generator.encoder)  # type: ignore[arg-type]
        decoder: list[ResidualBlock] = list(generator.decoder)  # type: ignore[arg-type]
        self.from_rgb = FusedConv(generator.from_rgb, dtype)
        self.to_rgb = FusedConv(generator.to_rgb, dtype)
        self.encoder = nn.ModuleList(FusedBlock(block, dtype) for block in encoder)
        self.decoder = nn.ModuleList(FusedBlock(block, dtype) for block in decoder)
        self.unet_blocks = nn.ModuleList(
            FusedConv(generator.get_submodule(f"unet_block{step}"), dtype)  # type: ignore[arg-type]
            for step in range(1, len(decoder))
        )
        layers = [
            layer
            for block in decoder
            for conv in (block.conv0, block.conv1)
            for layer in (conv.affine, conv.affine_beta)
            if layer is not None
        ]
        self.widths = [layer.weight.shape[0] for layer in layers]
        self.register_buffer("affine", torch.cat([layer.weight.detach() * layer.weight_gain for layer in layers]))
        self.register_buffer("affine_bias", torch.cat([layer.bias.detach() * layer.bias_gain for layer in layers]))

    def for_inference(self, dtype: torch.dtype = torch.float32) -> FusedStyleGANUnet:  # noqa: ARG002
        """Itself: its weights are folded already."""
        return self

    @torch.no_grad()
    def forward(
        self,
        condition: Tensor,
        mask: Tensor,
        *,
        w: Tensor | None = None,
        z: Tensor | None = None,
        embedding: Tensor | None = None,
        keypoints: Tensor | None = None,  # noqa: ARG002  uniform with the other generators
        joint_map: Tensor | None = None,  # noqa: ARG002
        silhouette: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """As in `Generator`."""
        w = require_style(w, z, self.style_net)
        x = stack_inputs(condition, mask, {EMBEDDING: embedding}, self.conditions)
        x = x.to(self.dtype, memory_format=torch.channels_last)
        features: list[Tensor] = []
        x = self.from_rgb(x)
        for block in self.encoder:
            x = block(x)
            features.append(x)
        features.pop()
        for step, (block, styles) in enumerate(zip(self.decoder, self._styles(w), strict=True)):
            if step:
                x = x.add_(self.unet_blocks[step - 1](features.pop()))
            x = block(x, styles)
        painted: Tensor = self.to_rgb(x)
        return condition * mask + painted.float() * (1 - mask)

    def _styles(self, w: Tensor) -> list[tuple[Modulation, Modulation]]:
        with torch.autocast(w.device.type, enabled=False):
            rows = torch.addmm(self.affine_bias, w.float(), self.affine.t()).to(self.dtype)
        parts = [part.unsqueeze(2).unsqueeze(3) for part in torch.split(rows, self.widths, dim=1)]
        quads = zip(parts[0::4], parts[1::4], parts[2::4], parts[3::4], strict=True)
        return [((a, b), (c, d)) for a, b, c, d in quads]
