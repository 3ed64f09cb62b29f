"""Operators of the StyleGAN family as plain tensor functions: they script, export, compile and differentiate twice.

Sources: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020) for filtered resampling
and scaled activations; Vaidyanathan, "Multirate Systems and Filter Banks" (1993) for the identities by which
filters, zero insertion and convolution change places.
"""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor


def fir_filter(taps: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)) -> Tensor:
    """The separable low-pass filter of these taps, (K, K) float32 with sum 1."""
    line = torch.tensor(taps, dtype=torch.float32)
    square = torch.outer(line, line)
    return square / square.sum()


def activation_gain(act: str) -> float:
    """By how much an activation is scaled so that it keeps the variance of normal input."""
    return sqrt(2.0) if act in ("relu", "lrelu", "swish") else 1.0


def activate(x: Tensor, act: str) -> Tensor:
    """Apply an activation by its name.

    Raises:
        ValueError: no such activation.
    """
    if act == "linear":
        return x
    if act == "relu":
        return F.relu(x)
    if act == "lrelu":
        return F.leaky_relu(x, 0.2)
    if act == "tanh":
        return torch.tanh(x)
    if act == "sigmoid":
        return torch.sigmoid(x)
    if act == "elu":
        return F.elu(x)
    if act == "selu":
        return F.selu(x)
    if act == "softplus":
        return F.softplus(x)
    if act == "swish":
        return F.silu(x)
    raise ValueError(f"no activation named {act}")


def bias_act(
    x: Tensor, bias: Tensor | None = None, act: str = "linear", gain: float | None = None, clamp: float | None = None
) -> Tensor:
    """clamp(gain · act(x + bias), ±clamp).

    Args:
        x: (N, C, ...).
        bias: (C,) or None.
        act: linear, relu, lrelu (slope 0.2), tanh, sigmoid, elu, selu, softplus or swish.
        gain: None = `activation_gain(act)`.
        clamp: None = no clamping.
    """
    if bias is not None:
        x = x + bias.to(x.dtype).view([1, -1] + [1] * (x.dim() - 2))
    x = activate(x, act)
    scale = activation_gain(act) if gain is None else gain
    if scale != 1.0:
        x = x * scale
    return x if clamp is None else x.clamp(-clamp, clamp)


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, filter, drop samples.

    Args:
        x: (N, C, H, W).
        f: (KH, KW) filter, convolved with x (correlated where `flip_filter`).
        up: each pixel becomes up × up, all but the first of them zero.
        down: only every down-th row and column is kept.
        padding: left, right, top, bottom, in pixels after zero insertion; negative values crop.
        gain: factor on the result; up² keeps the brightness.

    Returns:
        (N, C, (H·up + top + bottom − KH) // down + 1, likewise for the width).
    """
    channels = x.shape[1]
    height, width = f.shape[0], f.shape[1]
    kernel = (f * gain).to(x.dtype)
    left, right, top, bottom = padding
    if up > 1:
        # a transposed convolution is zero insertion and full convolution in one; what it has beyond the padded
        # picture is cropped, what it lacks there is zero
        kernel = kernel.flip([0, 1]) if flip_filter else kernel
        kernel = kernel.unsqueeze(0).unsqueeze(0).expand(channels, 1, height, width)
        left, right = left - width + 1, right - width + up
        top, bottom = top - height + 1, bottom - height + up
        if left == right and top == bottom and left <= 0 and top <= 0:
            x = F.conv_transpose2d(x, kernel, stride=up, padding=(-top, -left), groups=channels)
        else:
            x = F.pad(F.conv_transpose2d(x, kernel, stride=up, groups=channels), [left, right, top, bottom])
        return x if down == 1 else x[:, :, ::down, ::down]
    kernel = kernel if flip_filter else kernel.flip([0, 1])
    kernel = kernel.unsqueeze(0).unsqueeze(0).expand(channels, 1, height, width)
    if left == right and top == bottom and left >= 0 and top >= 0:
        return F.conv2d(x, kernel, stride=down, padding=(top, left), groups=channels)
    return F.conv2d(F.pad(x, [left, right, top, bottom]), kernel, stride=down, groups=channels)


def upsample2d(x: Tensor, f: Tensor) -> Tensor:
    """Double height and width of (N, C, H, W) with a filter (K, K) of even K, brightness kept."""
    left, right = (f.shape[0] + 1) // 2, (f.shape[0] - 2) // 2
    return upfirdn2d(x, f, up=2, padding=(left, right, left, right), gain=4.0)


def downsample2d(x: Tensor, f: Tensor) -> Tensor:
    """Halve height and width of (N, C, H, W) with a filter (K, K) of even K."""
    left, right = (f.shape[0] - 1) // 2, (f.shape[0] - 2) // 2
    return upfirdn2d(x, f, down=2, padding=(left, right, left, right))


def conv2d_resample(
    x: Tensor,
    weight: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    flip_weight: bool = True,
) -> Tensor:
    """Convolve at the higher of two resolutions, with a low-pass filter where the resolution changes.

    Equals: upsample by `up` with `f`, convolve, downsample by `down` with `f`, in this order, but for borders of
    the kernel's width; computed with the fewest pixels.

    Args:
        x: (N, I, H, W).
        weight: (O, I, K, K).
        f: (KH, KW) filter with sum 1; needed where up or down differ from 1.
        up, down: factors; one of them is 1.
        padding: of the convolution, in pixels of the higher resolution.
        flip_weight: True = correlation, as torch convolves; False = convolution with the flipped kernel.

    Returns:
        (N, O, H·up // down, W·up // down) where padding = K // 2.

    Raises:
        ValueError: up and down are both above 1, or the filter is missing.
    """
    size = weight.shape[2]
    if up == 1 and down == 1:
        return F.conv2d(x, weight if flip_weight else weight.flip([2, 3]), padding=padding)
    if f is None or (up > 1 and down > 1):
        raise ValueError("resampling needs a filter and one direction")
    taps = f.shape[0]
    if up > 1:
        before, after = padding + (taps + up - 1) // 2, padding + (taps - up) // 2
        if size == 1:
            x = F.conv2d(x, weight)
            return upfirdn2d(x, f, up=up, padding=(before, after, before, after), gain=float(up**2))
        # zero insertion, filter, kernel = zero insertion, kernel, filter; the first two are one operation
        kernel = (weight.flip([2, 3]) if flip_weight else weight).transpose(0, 1)
        before, after = before - size + 1, after - size + up
        x = F.conv_transpose2d(x, kernel, stride=up)
        return upfirdn2d(x, f, padding=(before, after, before, after), gain=float(up**2))
    kernel = weight if flip_weight else weight.flip([2, 3])
    before, after = padding + (taps - down + 1) // 2, padding + (taps - down) // 2
    if size == 1:
        return F.conv2d(upfirdn2d(x, f, down=down, padding=(before, after, before, after)), kernel)
    x = upfirdn2d(x, f, padding=(before, after, before, after))
    return F.conv2d(x, kernel, stride=down)


def modulate(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """x · scale + shift for each channel: (N, C, H, W) with (N, C) styles, in x's dtype.

    Scaling activations instead of weights lets one ungrouped convolution serve a batch of different styles.
    """
    scale = scale.to(x.dtype).unsqueeze(2).unsqueeze(3)
    if shift is None:
        return x * scale
    return torch.addcmul(shift.to(x.dtype).unsqueeze(2).unsqueeze(3), x, scale)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    padding: int = 0,
    demodulate: bool = True,
) -> Tensor:
    """StyleGAN2's convolution (its equations 1 and 3) for a batch of styles.

    The kernel of sample n is weight · style[n] over input channels, divided by its norm over each output channel
    where `demodulate`. Input is scaled before and output after one shared convolution, which is the same.

    Args:
        x: (N, I, H, W).
        weight: (O, I, K, K).
        style: (N, I) float32.
        f, up, padding: as in `conv2d_resample`; up-sampling flips the kernel, as published generators do.

    Returns:
        (N, O, H·up, W·up) where padding = K // 2.
    """
    y = conv2d_resample(modulate(x, style), weight, f, up=up, padding=padding, flip_weight=up == 1)
    if not demodulate:
        return y
    # the norm in float32: squares of half-precision weights vanish
    energy = style.float().square() @ weight.float().square().sum([2, 3]).t()  # (N, O)
    return modulate(y, torch.rsqrt(energy + 1e-8))
