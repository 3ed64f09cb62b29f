"""Layers with an equalised learning rate and filtered resampling, shared by the StyleGAN family of networks.

Source: Karras et al., "Progressive Growing of GANs" (ICLR 2018, section 4.1) for the learning rate; names of
parameters as in the published checkpoints of hukkelas/deep_privacy2.
"""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.models.stylegan.ops import activation_gain, bias_act, conv2d_resample, fir_filter, modulate


class Linear(nn.Module):
    """A linear layer with equalised learning rate: (N, in_features) to (N, out_features).

    The stored weight has standard deviation 1 / `lr_multiplier` and counts lr_multiplier / √in_features as much.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        act: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.act = act
        self.weight_gain = lr_multiplier / sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return bias_act(y, act=self.act)


class Conv2d(nn.Module):
    """Modulate, convolve with resampling, normalise, add bias, activate: all but the convolution as asked for.

    Args:
        up, down: factor of resolution, 1 or 2, filtered with 1 3 3 1.
        act: name as in `bias_act`; its own gain is applied too.
        gain: factor on the output and on the clamp.
        clamp: the output is clamped to ± clamp · gain.
        norm: instance normalisation without parameters, before the bias.
        w_channels: style of this length scales and shifts the input; None = no styles.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        up: int = 1,
        down: int = 1,
        act: str = "lrelu",
        gain: float = 1.0,
        clamp: float | None = None,
        bias: bool = True,
        norm: bool = False,
        w_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.resample_filter: Tensor | None
        self.register_buffer("resample_filter", fir_filter() if up > 1 or down > 1 else None)
        self.affine: Linear | None = None
        self.affine_beta: Linear | None = None
        if w_channels is not None:
            self.affine = Linear(w_channels, in_channels, bias_init=1.0)
            self.affine_beta = Linear(w_channels, in_channels)
        self.up = up
        self.down = down
        self.norm = norm
        self.act = act
        self.act_gain = activation_gain(act) * gain
        self.clamp = None if clamp is None else clamp * gain
        self.weight_gain = 1 / sqrt(in_channels * kernel_size**2)
        self.padding = kernel_size // 2

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) and styles (N, w_channels) to (N, out_channels, H·up // down, W·up // down)."""
        if self.affine is not None and self.affine_beta is not None:
            x = modulate(x, self.affine(w), self.affine_beta(w))
        weight = (self.weight * self.weight_gain).to(x.dtype)
        # published weights were trained with the kernel flipped where resolution grows
        x = conv2d_resample(x, weight, self.resample_filter, self.up, self.down, self.padding, self.up == 1)
        if self.norm:
            x = F.instance_norm(x)
        return bias_act(x, self.bias, self.act, self.act_gain, self.clamp)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a 1×1 one; the first goes down, the second up.

    Args:
        gain: factor on both branches, so that their sum keeps its variance.
        linear_skip: whether the 1×1 branch is linear; older checkpoints were trained with leaky ReLU on it.
        Others as in `Conv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        up: int = 1,
        down: int = 1,
        gain: float = sqrt(0.5),
        clamp: float | None = None,
        norm: bool = False,
        w_channels: int | None = None,
        linear_skip: bool = True,
    ) -> None:
        super().__init__()
        self.conv0 = Conv2d(in_channels, out_channels, down=down, clamp=clamp, norm=norm, w_channels=w_channels)
        self.conv1 = Conv2d(out_channels, out_channels, up=up, gain=gain, clamp=clamp, norm=norm, w_channels=w_channels)
        skip_act = "linear" if linear_skip else "lrelu"
        self.skip = Conv2d(in_channels, out_channels, 1, up=up, down=down, act=skip_act, gain=gain, bias=False)

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H·up // down, W·up // down)."""
        return self.skip(x) + self.conv1(self.conv0(x, w), w)  # type: ignore[no-any-return]
