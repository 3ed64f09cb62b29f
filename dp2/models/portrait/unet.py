"""dp2's own face generator: a small U-Net whose decoder is modulated by a latent and by what surrounds the hole.

Sources: Ronneberger et al., "U-Net" (MICCAI 2015); Karras et al., "Analyzing and Improving the Image Quality of
StyleGAN" (CVPR 2020), section 2.2, for modulation and demodulation; Sohn et al., "Learning Structured Output
Representation using Deep Conditional Generative Models" (NeurIPS 2015) for the encoder and the prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.errors import UsageError
from dp2.models.generator import KEYPOINTS, TONE, require_style

_SLOPE = 0.2
_LANDMARK_SIGMA = 0.025  # of the side
_COARSEST = 4  # pixels
_LARGE = 128  # pixels: at levels of this side and above there is one convolution in place of two, for speed
_LANDMARKS = ((0, 1), (2,), (3, 4))  # eyes, nose, corners of the mouth: one map each


class PortraitUnet(nn.Module):
    """Paints a face into the hole of a portrait.

    Args:
        widths: channels of each level, from full resolution down to 4×4 pixels; they decide the resolution.
        z_channels: length of the latent.
        w_channels: length of the style.

    Attributes:
        w_avg: (w_channels,) float32, the average style.
        w_centers: (M, w_channels) float32, see `Generator.set_w_centers`.

    As `dp2.models.generator.Generator` otherwise; `keypoints` are the 5 landmarks of face detectors, `tone` the coarse
    mean colour of the hole.
    """

    w_avg: Tensor
    w_centers: Tensor

    def __init__(self, *, widths: Sequence[int], z_channels: int = 64, w_channels: int = 192) -> None:
        super().__init__()
        levels = len(widths)
        side = _COARSEST << (levels - 1)
        self.resolution = (side, side)
        self.z_channels = z_channels
        self.conditions: tuple[str, ...] = (KEYPOINTS, TONE)
        self.stem = _conv(3 + 1 + len(_LANDMARKS) + 1, widths[0], 5)
        self.down = nn.ModuleList(_conv(widths[i], widths[i + 1], stride=2) for i in range(levels - 1))
        # Only the coarser levels get a second convolution: those above cost most and see least.
        self.encode_more = nn.ModuleDict(
            {str(level): _conv(widths[level], widths[level]) for level in range(max(0, levels - 3), levels)}
        )
        self.surroundings = nn.Linear(widths[-1] * _COARSEST**2, w_channels)
        self.mapping = nn.Sequential(
            nn.Linear(z_channels, w_channels),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(w_channels, w_channels),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(w_channels, w_channels),
        )
        self.start = nn.Linear(w_channels, widths[-1] * _COARSEST**2)
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                ModulatedConv2d(width, width, 2 * w_channels) for _ in range(1 if side >> level >= _LARGE else 2)
            )
            for level, width in enumerate(widths)
        )
        self.up = nn.ModuleList(_conv(widths[i], widths[i - 1], 1) for i in range(1, levels))
        self.to_rgb = nn.ModuleList(_conv(width, 3, 1, gain=0.3) for width in widths[:-2])
        self.register_buffer("w_avg", torch.zeros(w_channels))
        self.register_buffer("w_centers", torch.zeros(0, w_channels), persistent=False)

    def style(self, z: Tensor, *, truncation: float | None = None, center_index: Tensor | None = None) -> Tensor:
        """As in `Generator`."""
        with torch.autocast(z.device.type, enabled=False):
            w: Tensor = self.mapping(z.float())
        if truncation is None:
            return w
        centre = self.w_avg
        if center_index is not None:
            if len(self.w_centers) == 0:
                raise UsageError("this checkpoint holds no w_centers, which multi-modal truncation needs")
            centre = self.w_centers[center_index.to(self.w_centers.device) % len(self.w_centers)]
        return centre.lerp(w, min(max(truncation, 0.0), 1.0))

    def set_w_centers(self, centers: Tensor) -> None:
        """As in `Generator`."""
        self.w_centers = centers.to(self.w_avg)

    def for_inference(self, dtype: torch.dtype = torch.float32) -> PortraitUnet:
        """As in `Generator`: itself; its convolutions run in `dtype` under autocast."""
        self.to(memory_format=torch.channels_last)
        self._dtype = dtype
        return self

    _dtype: torch.dtype = torch.float32

    def forward(
        self,
        condition: Tensor,
        mask: Tensor,
        *,
        w: Tensor | None = None,
        z: Tensor | None = None,
        embedding: Tensor | None = None,  # noqa: ARG002  uniform with the other generators
        keypoints: Tensor | None = None,
        joint_map: Tensor | None = None,  # noqa: ARG002
        silhouette: Tensor | None = None,  # noqa: ARG002
        tone: Tensor | None = None,
    ) -> Tensor:
        """As in `Generator`."""
        if keypoints is None or tone is None:
            raise UsageError("the portrait generator needs keypoints and tone beside the picture and the mask")
        w = require_style(w, z, self.style)
        if self._dtype is torch.float32:
            painted = self.paint(condition, mask, w, keypoints, tone)
        else:
            with torch.autocast(condition.device.type, self._dtype):
                painted = self.paint(condition, mask, w, keypoints, tone)
        return condition * mask + painted.float() * (1 - mask)

    def paint(self, condition: Tensor, mask: Tensor, w: Tensor, keypoints: Tensor, tone: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1]: the whole crop as the network sees it, also outside the hole."""
        x, features = self._encode(self._inputs(condition, mask, keypoints, tone))
        style = torch.cat([w, _act(self.surroundings(x.flatten(1)))], 1)
        x = x + self.start(_act(w)).view_as(x)
        image: Tensor | None = None
        for level in range(len(self.decoder) - 1, -1, -1):
            if level < len(self.decoder) - 1:
                x = (x + features[level]) * sqrt(0.5)
            residual = x
            for convolution in self.decoder[level]:  # type: ignore[attr-defined]
                residual = convolution(residual, style)
            x = (x + residual) * sqrt(0.5)
            if level < len(self.to_rgb):
                rgb = self.to_rgb[level](x)
                image = rgb if image is None else image + rgb
                image = F.interpolate(image, scale_factor=2.0, mode="nearest") if level else image
            if level:
                x = F.interpolate(self.up[level - 1](x), scale_factor=2.0, mode="nearest")
        if image is None:
            raise UsageError("a portrait generator needs at least one level")
        return torch.tanh(image)

    def _inputs(self, condition: Tensor, mask: Tensor, keypoints: Tensor, tone: Tensor) -> Tensor:
        """(N, 8, H, W): the hole filled with its tone, the hole, landmarks, sharpness of the surroundings."""
        hole = 1 - mask
        filled = condition * mask + tone[:, :, None, None] * hole
        sharp = sharpness(condition, mask)[:, None, None, None].expand_as(mask)
        maps = landmark_maps(keypoints, self.resolution[0])
        inputs = torch.cat([filled, hole, maps.to(filled.dtype), sharp], 1)
        return inputs.contiguous(memory_format=torch.channels_last)

    def _encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = _act(self.stem(x))
        features: list[Tensor] = []
        for level in range(len(self.decoder)):
            if level:
                x = _act(self.down[level - 1](x))
            if str(level) in self.encode_more:
                x = x + 0.5 * _act(self.encode_more[str(level)](x))
            features.append(x)
        return x, features


class ModulatedConv2d(nn.Module):
    """A 3×3 convolution whose input channels are scaled by a style and whose output is scaled back to unit variance.

    Scaling activations in place of weights gives the same (Karras et al. 2020, appendix B) and keeps batches whole.
    """

    def __init__(self, in_channels: int, out_channels: int, w_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3) / sqrt(in_channels * 9))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.affine = nn.Linear(w_channels, in_channels)
        nn.init.normal_(self.affine.weight, 0, 1 / sqrt(w_channels))
        nn.init.ones_(self.affine.bias)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, in_channels, H, W) and (N, w_channels) to (N, out_channels, H, W), activated."""
        scale = self.affine(w)
        with torch.autocast(x.device.type, enabled=False):  # squares of small numbers
            scale = scale.float()
            norm = torch.rsqrt(scale.square() @ self.weight.float().square().sum((2, 3)).t() + 1e-6)
        y = F.conv2d(x * scale.to(x.dtype)[:, :, None, None], self.weight.to(x.dtype), padding=1)
        bias = self.bias.to(x.dtype)[None, :, None, None]
        return _act(torch.addcmul(bias, y, (norm.to(x.dtype) * sqrt(2))[:, :, None, None]))


def landmark_maps(keypoints: Tensor, side: int) -> Tensor:
    """Landmarks as pictures.

    Args:
        keypoints: (N, 5, ≥2) float32, x and y as fractions: eyes, nose, corners of the mouth.
        side: of the square maps.

    Returns:
        (N, 3, side, side) float32 in [0, 1]: eyes, nose, mouth.
    """
    centres = (torch.arange(side, device=keypoints.device, dtype=torch.float32) + 0.5) / side
    near = torch.exp(-((centres - keypoints[:, :, :2, None].float()) ** 2) / (2 * _LANDMARK_SIGMA**2))  # [N, 5, 2, S]
    spots = near[:, :, 1, :, None] * near[:, :, 0, None, :]  # [N, 5, S, S]
    return torch.stack([spots[:, list(group)].amax(1) for group in _LANDMARKS], 1)


def sharpness(condition: Tensor, mask: Tensor) -> Tensor:
    """How much of the detail around the hole is as fine as pixels; it does not depend on contrast.

    Args:
        condition: (N, 3, H, W) in [-1, 1], 0 in the hole.
        mask: (N, 1, H, W), 1 = kept.

    Returns:
        (N,) float32, from about -1 (blurred) to 1 (sharp).
    """
    with torch.autocast(condition.device.type, enabled=False):
        grey = condition.float().mean(1, keepdim=True)
        kept = mask.float()
        known = 1 - widened(1 - kept, 3)  # as far from the hole as the filters reach
        fine = F.avg_pool2d(grey, 3, 1, 1, count_include_pad=False)
        coarse = F.avg_pool2d(fine, 5, 1, 2, count_include_pad=False)
        weight = known.sum((1, 2, 3)) + 1e-3
        finest = ((grey - fine).abs() * known).sum((1, 2, 3)) / weight
        middle = ((fine - coarse).abs() * known).sum((1, 2, 3)) / weight
        return torch.log((finest + 2e-3) / (middle + 2e-3)).clamp(-2, 1) + 0.5


def widened(hole: Tensor, by: int) -> Tensor:
    """(N, 1, H, W) with 1 in the hole: the same, grown by so many pixels to all sides."""
    # Shifts and maxima: pooling one channel takes PyTorch 17 times as long on a CPU.
    across = _largest(F.pad(hole, (by, by)), 2 * by + 1, 3)
    return _largest(F.pad(across, (0, 0, by, by)), 2 * by + 1, 2)


def _largest(x: Tensor, window: int, axis: int) -> Tensor:
    """The largest of each `window` neighbours along an axis, without padding."""
    length = x.shape[axis] - window + 1
    return reduce(torch.maximum, (x.narrow(axis, start, length) for start in range(window)))


def _conv(in_channels: int, out_channels: int, size: int = 3, *, stride: int = 1, gain: float = 1.0) -> nn.Conv2d:
    layer = nn.Conv2d(in_channels, out_channels, size, stride, size // 2)
    nn.init.normal_(layer.weight, 0, gain * sqrt(2 / (in_channels * size * size)))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)
