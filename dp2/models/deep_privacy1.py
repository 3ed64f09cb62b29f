"""DeepPrivacy1's generator: a progressive U-Net that inpaints 128×128 faces given seven keypoints.

Source: Hukkelås, Mester, Lindseth: DeepPrivacy, ISVC 2019; layer names as in hukkelas/DeepPrivacy and
hukkelas/deep_privacy2 (`MSGGenerator`).

Every convolution there runs with its weight times 1/√fan_in ("equalised" learning rate), then leaky ReLU, then
normalisation of each pixel over its channels. Leaky ReLU is positively homogeneous, so dividing the bias by that
factor and the normalisation's ε by its square gives the same result from the stored weights, which spares a pass
over 50 million weights on each call.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.errors import UsageError
from dp2.models.generator import KEYPOINTS

LEFTOVERS: frozenset[str] = frozenset(
    f"decoder.pose_fcnn.pose_preprocessor.{i}.linear.{leaf}" for i in (1, 3) for leaf in ("weight", "bias")
)
"""Published keys that no layer uses: the predecessor's linear layers carry a second, idle layer inside."""

_RESOLUTIONS = (4, 8, 16, 32, 64, 128)


class ScaledConv(nn.Module):
    """A convolution whose weight counts 1/√fan_in as much as stored; size-preserving."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = 1 / sqrt(in_channels * kernel_size**2)
        self.padding = kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class NormedConv(ScaledConv):
    """The same, followed by leaky ReLU and unit length of each pixel's channel vector."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight, self.bias / self.scale, padding=self.padding)
        return self.activate(y)

    def activate(self, y: Tensor) -> Tensor:
        """Of a convolution with the stored weight and the bias divided by `scale`."""
        y = F.leaky_relu_(y, 0.2)
        # in float32, because squares of half-precision features of this size overflow
        length = torch.linalg.vector_norm(y, dim=1, keepdim=True, dtype=torch.float32)  # (N, 1, H, W)
        inverse = torch.rsqrt(length.square() / y.shape[1] + 1e-7 / self.scale**2)
        inverse = inverse.to(y.dtype)
        # gradients need y as it was; without them, no second map of this size is allocated
        return y * inverse if torch.is_grad_enabled() else y.mul_(inverse)


class ScaledLinear(nn.Module):
    """A linear layer whose weight counts 1/√fan_in as much as stored."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale = 1 / sqrt(in_features)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x * self.scale, self.weight, self.bias)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {"0": NormedConv(in_channels, in_channels, 3), "3": NormedConv(in_channels, out_channels, 3)}
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers["3"](self.layers["0"](x))  # type: ignore[no-any-return]


class SkipConnection(nn.Module):
    """Doubles the resolution and mixes in the encoder's features: a 1×1 convolution of both, stacked.

    The half of it that meets the upsampled features runs before they are upsampled, where there are four times
    fewer pixels; a 1×1 convolution and nearest-neighbour upsampling commute.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv = nn.ModuleDict({"layers": nn.ModuleDict({"0": NormedConv(2 * channels, channels, 1)})})

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        conv = self.conv["layers"]["0"]  # type: ignore[index]
        coarse = F.conv2d(x, conv.weight[:, : self.channels], conv.bias / conv.scale)
        fine = F.conv2d(skip, conv.weight[:, self.channels :])
        return conv.activate(fine + _double(coarse))  # type: ignore[no-any-return]


class Pose(nn.Module):
    """Two linear layers from seven points to a map of 16 channels at 4×4."""

    def __init__(self, points: int = 7, hidden: int = 128) -> None:
        super().__init__()
        self.points = points
        self.pose_preprocessor = nn.ModuleDict(
            {"1": ScaledLinear(2 * points, hidden), "3": ScaledLinear(hidden, 16 * 4 * 4)}
        )

    def forward(self, keypoints: Tensor) -> Tensor:
        x = keypoints[:, : self.points, :2].flatten(1).clamp(-1, 1) * 2 - 1
        x = F.leaky_relu(self.pose_preprocessor["1"](x), 0.2)
        x = F.leaky_relu(self.pose_preprocessor["3"](x), 0.2)
        return x.view(-1, 16, 4, 4)


class Encoder(nn.Module):
    """From the highest resolution down."""

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.basic_block128 = BasicBlock(channels[128], channels[64])
        self.basic_block64 = BasicBlock(channels[64], channels[32])
        self.basic_block32 = BasicBlock(channels[32], channels[16])
        self.basic_block16 = BasicBlock(channels[16], channels[8])
        self.basic_block8 = BasicBlock(channels[8], channels[4])
        self.basic_block4 = BasicBlock(channels[4], channels[4])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features before each halving, lowest resolution first."""
        x128 = self.basic_block128(x)
        x64 = self.basic_block64(F.avg_pool2d(x128, 2))
        x32 = self.basic_block32(F.avg_pool2d(x64, 2))
        x16 = self.basic_block16(F.avg_pool2d(x32, 2))
        x8 = self.basic_block8(F.avg_pool2d(x16, 2))
        x4 = self.basic_block4(F.avg_pool2d(x8, 2))
        return [x4, x8, x16, x32, x64, x128]


class Decoder(nn.Module):
    """From the lowest resolution up."""

    def __init__(self, channels: Mapping[int, int], latent_channels: int) -> None:
        super().__init__()
        self.pose_fcnn = Pose()
        start = channels[4] + latent_channels + 16
        self.basic_block4 = BasicBlock(start, channels[4])
        self.skip_connection8 = SkipConnection(channels[4])
        self.basic_block8 = BasicBlock(channels[4], channels[8])
        self.skip_connection16 = SkipConnection(channels[8])
        self.basic_block16 = BasicBlock(channels[8], channels[16])
        self.skip_connection32 = SkipConnection(channels[16])
        self.basic_block32 = BasicBlock(channels[16], channels[32])
        self.skip_connection64 = SkipConnection(channels[32])
        self.basic_block64 = BasicBlock(channels[32], channels[64])
        self.skip_connection128 = SkipConnection(channels[64])
        self.basic_block128 = BasicBlock(channels[64], channels[128])

    def forward(self, features: list[Tensor], latent: Tensor, keypoints: Tensor) -> list[Tensor]:
        """Features of each resolution, lowest first, of the encoder's and a (N, L, 4, 4) latent."""
        extra = torch.cat((latent, self.pose_fcnn(keypoints)), dim=1)
        x4 = self.basic_block4(torch.cat((features[0], extra.to(features[0].dtype)), dim=1))
        x8 = self.basic_block8(self.skip_connection8(x4, features[1]))
        x16 = self.basic_block16(self.skip_connection16(x8, features[2]))
        x32 = self.basic_block32(self.skip_connection32(x16, features[3]))
        x64 = self.basic_block64(self.skip_connection64(x32, features[4]))
        x128 = self.basic_block128(self.skip_connection128(x64, features[5]))
        return [x4, x8, x16, x32, x64, x128]


class DeepPrivacy1(nn.Module):
    """Paints a face into the hole of a 128×128 crop. A `dp2.models.generator.Generator`.

    Args:
        width: channels at 32×32 and below; half of them at 64×64, a quarter at 128×128.
    """

    z_channels: int = 512
    resolution: tuple[int, int] = (128, 128)
    conditions: tuple[str, ...] = (KEYPOINTS,)

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        channels = dict.fromkeys(_RESOLUTIONS, width) | {64: width // 2, 128: width // 4}
        self.from_rgb = nn.Sequential(NormedConv(5, channels[128], 1))
        self.encoder = Encoder(channels)
        self.decoder = Decoder(channels, self.z_channels // 16)
        self.rgb_convolutions = nn.ModuleDict({str(r): ScaledConv(channels[r], 3, 1) for r in _RESOLUTIONS})

    def style(self, z: Tensor, *, truncation: float | None = None, center_index: Tensor | None = None) -> Tensor:
        """z itself: this network has no style space, and none of the published truncations changes its output."""
        del truncation, center_index
        return z

    def set_w_centers(self, centers: Tensor) -> None:
        """Nothing to hold, as `style` ignores centres."""
        del centers

    def forward(
        self,
        condition: Tensor,
        mask: Tensor,
        w: Tensor | None = None,
        z: Tensor | None = None,
        embedding: Tensor | None = None,  # noqa: ARG002
        keypoints: Tensor | None = None,
        joint_map: Tensor | None = None,  # noqa: ARG002
        silhouette: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Inpaint; `w` and `z` mean the same.

        Args:
            condition: (N, 3, 128, 128) in [-1, 1], 0 in the hole.
            mask: (N, 1, 128, 128), 1 = keep, 0 = hole.
            w: (N, 512), from `style`.
            z: (N, 512), standard normal.
            embedding: not used.
            keypoints: (N, 7, 2 or more): x, y in [0, 1] of the crop: nose, eyes, ears, shoulders.
            joint_map: not used.

        Returns:
            (N, 3, 128, 128): the condition where the mask keeps it, a face elsewhere.

        Raises:
            UsageError: keypoints or latent are missing.
        """
        latent = z if w is None else w
        if latent is None or keypoints is None:
            raise UsageError("DeepPrivacy1's generator needs keypoints and a latent z; one of them is missing")
        dtype = self.rgb_convolutions["4"].weight.dtype
        x = self.from_rgb(torch.cat((condition, mask, 1 - mask), dim=1).to(dtype))  # type: ignore[arg-type]
        features = self.decoder(self.encoder(x), latent.view(latent.shape[0], -1, 4, 4), keypoints)
        rgb = torch.zeros_like(condition[:, :, :2, :2])
        for i, conv in enumerate(self.rgb_convolutions.values()):
            rgb = _double(rgb) + conv(features[i])
        return condition * mask + (1 - mask) * (rgb / len(features))

    def for_inference(self, dtype: torch.dtype = torch.float32) -> DeepPrivacy1:
        """As in `Generator`."""
        if dtype == torch.float32:
            return self
        fast = copy.deepcopy(self)
        for module in fast.modules():
            if isinstance(module, ScaledConv):
                module.to(dtype)
        return fast.eval().requires_grad_(False)


def rename_published(state: Mapping[str, Any]) -> dict[str, Any]:
    """A published generator's state under this module's names; `LEFTOVERS` stay for the loader to drop.

    Undoes the nesting under `parameters` of some files, and the oldest naming, which counts blocks (0, 1, 2, …)
    rather than naming their resolution (4, 8, 16, …) and has an unused second copy of the output layers.
    """
    state = state.get("parameters", state)
    if not any(".basic_block0." in key for key in state):
        return dict(state)
    return {_resolution_name(key): value for key, value in state.items() if not key.startswith("decoder.to_rgb.")}


def _resolution_name(key: str) -> str:
    if "from_rgb" in key:
        return key.replace("encoder.", "").replace(".conv.layers", "")
    return re.sub(r"(basic_block|skip_connection)(\d+)\.", lambda m: f"{m[1]}{_RESOLUTIONS[int(m[2])]}.", key)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
