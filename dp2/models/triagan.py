"""TriaGAN: a pre-activation U-Net that inpaints bodies from 17 keypoints, or faces from 3.

Source: Hukkelås and Lindseth, "Synthesizing Anyone, Anywhere, in Any Pose" (WACV 2024); parameter names and gains
as in hukkelas/deep_privacy2 (`TriaGAN`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.errors import UsageError
from dp2.models.generator import JOINT_MAP, KEYPOINTS, SILHOUETTE
from dp2.models.stylegan.layers import Linear
from dp2.models.stylegan.ops import downsample2d, fir_filter, upsample2d
from dp2.models.stylegan.style_net import Styled, StyleNet

_LIMBS = 6


class PlainConv(nn.Module):
    """A size-preserving convolution with equalised learning rate.

    Args:
        gain: factor on the output, bias included.
        fan_in: what the weight is scaled by the root of; None = the true number of inputs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        gain: float = 1.0,
        fan_in: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = gain / sqrt(fan_in or in_channels * kernel_size**2)
        self.bias_gain = gain
        self.padding = kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.bias_gain
        return F.conv2d(x, self.weight * self.weight_gain, bias, padding=self.padding)


class NormedConv(PlainConv):
    """Instance normalisation, modulation by a style, leaky ReLU, convolution, noise.

    Normalisation, modulation and every constant gain become one scale and one shift a channel before the leaky
    ReLU, which is positively homogeneous: one pass over the features, none over the weights.

    Args:
        w_channels: length of styles; None = no modulation.
        noise: (height, width) of the noise added to the output; None = none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        bias: bool = True,
        gain: float = 1.0,
        w_channels: int | None = None,
        noise: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias=bias, gain=gain)
        self.input_gain = sqrt(2.0) * self.weight_gain
        self.affine: Linear | None = None
        self.affine_beta: Linear | None = None
        if w_channels is not None:
            self.affine = Linear(w_channels, in_channels, bias_init=1.0)
            self.affine_beta = Linear(w_channels, in_channels)
        self.noise_const: Tensor | None
        self.register_buffer("noise_const", None if noise is None else torch.randn(noise))
        self.noise_strength = None if noise is None else nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) and styles (N, w_channels), divided by √w_channels, to (N, out_channels, H, W)."""
        scale, shift = self._scale_and_shift(x, w)
        x = F.leaky_relu_(torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype)), 0.2)
        bias = None if self.bias is None else self.bias * self.bias_gain
        x = F.conv2d(x, self.weight, bias, padding=self.padding)
        return self._add_noise(x)

    def _scale_and_shift(self, x: Tensor, w: Tensor | None) -> tuple[Tensor, Tensor]:
        """(N, C, 1, 1) each, float32."""
        # two plain means: torch.var_mean and instance_norm take twenty times as long on channels_last CPU tensors
        mean = x.mean((2, 3), dtype=torch.float32)
        variance = x.float().square().mean((2, 3)) - mean.square()
        scale = torch.rsqrt(variance.clamp(min=0) + 1e-5) * self.input_gain
        shift = -mean * scale
        if self.affine is not None and self.affine_beta is not None and w is not None:
            # the affine layers' gain is in w already: scaling it once spares scaling the weights of each layer
            gamma = F.linear(w, self.affine.weight, self.affine.bias)
            beta = F.linear(w, self.affine_beta.weight, self.affine_beta.bias)
            scale, shift = scale * gamma, torch.addcmul(beta * self.input_gain, shift, gamma)
        return scale[:, :, None, None], shift[:, :, None, None]

    def _add_noise(self, x: Tensor) -> Tensor:
        if self.noise_const is None or self.noise_strength is None:
            return x
        noise = self.noise_const
        if self.training:
            noise = torch.randn(x.shape[0], 1, noise.shape[0], noise.shape[1], device=x.device)
        return x.add_((noise * self.noise_strength).to(x.dtype))


class ResidualBlock(nn.Module):
    """Two normed convolutions beside a linear 1×1 one.

    Args:
        gain: factor on both branches, so that their sum, with the U-Net's skip where there is one, keeps its variance.
        layer_scale: a learned factor for each output channel of the first branch.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        gain: float,
        w_channels: int,
        noise: tuple[int, int] | None,
        layer_scale: bool,
    ) -> None:
        super().__init__()
        self.conv0 = NormedConv(in_channels, hidden_channels, w_channels=w_channels, noise=noise)
        self.conv1 = NormedConv(hidden_channels, out_channels, gain=gain, w_channels=w_channels, noise=noise)
        self.skip = PlainConv(in_channels, out_channels, 1, bias=False, gain=gain)
        self.layer_scale = nn.Parameter(torch.full((1, out_channels, 1, 1), 1e-5)) if layer_scale else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y = self.conv1(self.conv0(x, w), w)
        skip = self.skip(x)
        if self.layer_scale is None:
            return skip.add_(y)  # type: ignore[no-any-return]
        return torch.addcmul(skip, y, self.layer_scale.to(y.dtype))


class Resample(nn.Module):
    """Halve or double the resolution with the stored filter."""

    resample_filter: Tensor

    def __init__(self, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.register_buffer("resample_filter", fir_filter())

    def forward(self, x: Tensor) -> Tensor:
        return upsample2d(x, self.resample_filter) if self.up else downsample2d(x, self.resample_filter)


class Encoder(nn.Module):
    """`layers` counts from the lowest resolution, as published; it runs from the highest.

    Args:
        widths: channels of each level, from the highest resolution.
        blocks: at each level; the last of them has the next level's channels.
    """

    def __init__(self, widths: Sequence[int], *, blocks: int, w_channels: int, layer_scale: bool) -> None:
        super().__init__()
        levels = []
        for level, channels in enumerate(widths):
            after = widths[min(level + 1, len(widths) - 1)]
            levels.append(
                nn.ModuleList(
                    ResidualBlock(
                        channels,
                        channels,
                        after if i == blocks - 1 else channels,
                        gain=sqrt(1 / 2),
                        w_channels=w_channels,
                        noise=None,
                        layer_scale=layer_scale,
                    )
                    for i in range(blocks)
                )
            )
        self.layers = nn.ModuleList(reversed(levels))
        self.downsample = Resample(up=False)

    def forward(self, x: Tensor, w: Tensor) -> list[Tensor]:
        """The features of each level, lowest resolution first."""
        features: list[Tensor] = []
        for level in reversed(self.layers):
            if features:
                x = self.downsample(x)
            for block in cast(nn.ModuleList, level):
                x = block(x, w)
            features.append(x)
        return features[::-1]


class Decoder(nn.Module):
    """From the lowest resolution up; arguments as for `Encoder`.

    Args:
        resolution: (height, width) of the result, for the noise of each level.
        middle_blocks: extra ones at the lowest resolution.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        resolution: tuple[int, int],
        blocks: int,
        middle_blocks: int,
        w_channels: int,
        layer_scale: bool,
    ) -> None:
        super().__init__()

        def block(in_channels: int, out_channels: int, level: int, gain: float) -> ResidualBlock:
            return ResidualBlock(
                in_channels,
                in_channels,
                out_channels,
                gain=gain,
                w_channels=w_channels,
                noise=(resolution[0] >> level, resolution[1] >> level),
                layer_scale=layer_scale,
            )

        lowest = len(widths) - 1
        self.middle_blocks = nn.ModuleList(
            block(widths[lowest], widths[lowest], lowest, sqrt(1 / 2)) for _ in range(middle_blocks)
        )
        self.layers = nn.ModuleList()
        self.unet_layers = nn.ModuleList()
        for level in reversed(range(len(widths))):
            joins = level < lowest
            gain = sqrt(1 / 3) if joins else sqrt(1 / 2)
            before = widths[min(level + 1, lowest)]
            channels = widths[level]
            self.layers.append(
                nn.ModuleList(
                    [
                        block(before, channels, level, gain),
                        *(block(channels, channels, level, sqrt(1 / 2)) for _ in range(blocks - 1)),
                    ]
                )
            )
            skips = [NormedConv(before, before, 1, bias=False, gain=gain)] if joins else []
            self.unet_layers.append(nn.ModuleList(skips))
        self.upsample = Resample(up=True)
        self.to_rgb = PlainConv(widths[0], 3, 1)

    def forward(self, features: list[Tensor], w: Tensor) -> Tensor:
        """From the encoder's features, lowest resolution first, to (N, 3, H, W)."""
        x = features[0]
        for block in self.middle_blocks:
            x = block(x, w)
        for i, (level, skips) in enumerate(zip(self.layers, self.unet_layers, strict=True)):
            if i:
                x = self.upsample(x)
            for skip in cast(nn.ModuleList, skips):
                x = x.add_(skip(features[i]))
            for block in cast(nn.ModuleList, level):
                x = block(x, w)
        return self.to_rgb(x)  # type: ignore[no-any-return]


class TriaGAN(Styled):
    """Paints a person or a face into the hole of a crop. A `dp2.models.generator.Generator`.

    Args:
        resolution: (height, width); each side divisible by 2 for every level but the first.
        width: channels at full resolution.
        multipliers: channels of each level, from the highest resolution, in units of `width`.
        blocks: residual blocks of each level, in encoder and decoder each.
        middle_blocks: more of them at the lowest resolution.
        keypoints: which keypoints it is fed, by index.
        joint_map: whether it is fed a drawing of the limbs.
        silhouette: whether it is fed the outline of the person as segmented.
        layer_scale: whether each block's first branch has learned factors.
    """

    conditions: tuple[str, ...]

    def __init__(
        self,
        *,
        resolution: tuple[int, int],
        width: int,
        multipliers: Sequence[int],
        keypoints: Sequence[int],
        joint_map: bool,
        silhouette: bool,
        layer_scale: bool,
        blocks: int = 2,
        middle_blocks: int = 2,
        z_channels: int = 64,
        w_channels: int = 512,
    ) -> None:
        super().__init__()
        self.z_channels = z_channels
        self.resolution = (resolution[0], resolution[1])
        self.keypoints = list(keypoints)
        wanted = {KEYPOINTS: bool(self.keypoints), JOINT_MAP: joint_map, SILHOUETTE: silhouette}
        self.conditions = tuple(name for name, is_wanted in wanted.items() if is_wanted)
        inputs = 3 + 2 + 2 * silhouette + len(self.keypoints) + _LIMBS * joint_map
        # published weights were trained with each condition counted as one channel, however many it has
        fan_in = (3 + 1 + len(self.conditions)) * 7**2
        widths = [width * m for m in multipliers]
        self.style_net = StyleNet(z_channels=z_channels, w_channels=w_channels)
        self.from_rgb = PlainConv(inputs, width, 7, fan_in=fan_in)
        self.encoder = Encoder(widths, blocks=blocks, w_channels=w_channels, layer_scale=layer_scale)
        self.decoder = Decoder(
            widths,
            resolution=self.resolution,
            blocks=blocks,
            middle_blocks=middle_blocks,
            w_channels=w_channels,
            layer_scale=layer_scale,
        )

    def forward(
        self,
        condition: Tensor,
        mask: Tensor,
        w: Tensor | None = None,
        z: Tensor | None = None,
        embedding: Tensor | None = None,  # noqa: ARG002  uniform with the other generators
        keypoints: Tensor | None = None,
        joint_map: Tensor | None = None,
        silhouette: Tensor | None = None,
    ) -> Tensor:
        """As in `Generator`, and beyond it:

        Args:
            silhouette: (N, 1, H, W): 1 = person as segmented, before the hole was widened.
        """
        latent = self.style(z) if w is None and z is not None else w
        if latent is None:
            raise UsageError("TriaGAN needs a style w or a latent z")
        planes = self._planes(condition, mask, {KEYPOINTS: keypoints, JOINT_MAP: joint_map, SILHOUETTE: silhouette})
        latent = latent / sqrt(latent.shape[1])
        features = self.encoder(self.from_rgb(planes.to(self.from_rgb.weight.dtype)), latent)
        painted: Tensor = self.decoder(features, latent)
        return condition * mask + (1 - mask) * painted.to(condition.dtype)

    def _planes(self, condition: Tensor, mask: Tensor, given: Mapping[str, Tensor | None]) -> Tensor:
        """Everything that the first convolution is fed, over channels; as published, each mask with its inverse."""
        planes = [condition, mask, 1 - mask]
        # in the order of the published channels
        for name in (SILHOUETTE, KEYPOINTS, JOINT_MAP):
            if name not in self.conditions:
                continue
            plane = given[name]
            if plane is None:
                raise UsageError(f"TriaGAN needs {name} beside the picture and the mask")
            if name == SILHOUETTE:
                planes += [1 - plane, plane]
            elif name == KEYPOINTS:
                planes.append(draw_keypoints(plane[:, self.keypoints], self.resolution))
            else:
                planes.append(plane == torch.arange(1, _LIMBS + 1, device=plane.device).view(1, -1, 1, 1))
        return torch.cat([plane.to(condition.dtype) for plane in planes], dim=1)

    def for_inference(self, dtype: torch.dtype = torch.float32) -> TriaGAN:
        """As in `Generator`."""
        if dtype == torch.float32:
            return self
        fast = copy.deepcopy(self)
        for module in fast.modules():
            if isinstance(module, PlainConv):
                module.weight.data = module.weight.to(dtype)
                if module.bias is not None:
                    module.bias.data = module.bias.to(dtype)
        return fast.eval().requires_grad_(False)


def draw_keypoints(keypoints: Tensor, resolution: tuple[int, int]) -> Tensor:
    """One plane a keypoint, 1 at its nearest pixel, all 0 where it is not visible.

    Args:
        keypoints: (N, K, 3): x, y as fractions of width and height, visibility.
        resolution: (height, width) in pixels.

    Returns:
        (N, K, height, width) bool.
    """
    height, width = resolution
    x, y, visibility = keypoints.unbind(dim=2)  # (N, K)
    column = (x * width).round().clamp(0, width - 1)[..., None] == torch.arange(width, device=x.device)
    row = (y * height).round().clamp(0, height - 1)[..., None] == torch.arange(height, device=x.device)
    visible = visibility.round() >= 1
    return row[..., :, None] & (column & visible[..., None])[..., None, :]


def rename_published(state: Mapping[str, Any]) -> dict[str, Any]:
    """A published generator's state under this module's names.

    Files hold the output layer as `decoder.to_rgb.N.*`, N counting the resolutions it was trained at. Where a file
    has several, the last one in it counts, as in the reference.
    """
    return {re.sub(r"^decoder\.to_rgb\.\d+\.", "decoder.to_rgb.", key): value for key, value in state.items()}
