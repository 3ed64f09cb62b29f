"""The StyleGAN U-Net of DeepPrivacy2: faces at 256×256 and 128×128, bodies at 288×160.

Source: Hukkelås and Lindseth, "DeepPrivacy2: Towards Realistic Full-Body Anonymization" (WACV 2023); parameter
names and gains as in hukkelas/deep_privacy2, `StyleGANUnet`.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from dp2.models.generator import EMBEDDING, require_style, stack_inputs
from dp2.models.stylegan.fused_unet import FusedStyleGANUnet
from dp2.models.stylegan.layers import Conv2d, ResidualBlock
from dp2.models.stylegan.style_net import Styled, StyleNet


def level_widths(resolution: tuple[int, int], lowest: int, width: int, max_multiplier: int) -> list[int]:
    """Channels of each level, from full resolution down to a longer side of about `lowest`; doubling up to a bound."""
    levels = (max(resolution) // lowest).bit_length()
    return [width * min(2**level, max_multiplier) for level in range(levels)]


class StyleGANUnet(Styled):
    """A residual encoder, a residual decoder whose features are scaled and shifted by styles, 1×1 skips between.

    Args:
        resolution: (height, width); each side divisible by 2 for every level.
        lowest: longer side below which no further level is added; 8 in all published networks.
        width: channels at full resolution.
        max_multiplier: bound on the factor by which channels grow.
        embedding_channels: of the body-surface embedding and its mask together; 0 = the network takes none.
        linear_skip: published `fix_errors`; False also gives the 1×1 skips a gain of √½ instead of √⅓.
        clamp: bound on activations, times each layer's gain.

    As `Generator` otherwise.
    """

    def __init__(
        self,
        *,
        resolution: tuple[int, int],
        width: int = 64,
        max_multiplier: int = 8,
        lowest: int = 8,
        embedding_channels: int = 0,
        z_channels: int = 512,
        w_channels: int = 512,
        linear_skip: bool = True,
        clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        self.z_channels = z_channels
        self.resolution = (resolution[0], resolution[1])
        self.conditions: tuple[str, ...] = (EMBEDDING,) if embedding_channels else ()
        widths = level_widths(resolution, lowest, width, max_multiplier)
        self.style_net = StyleNet(z_channels=z_channels, w_channels=w_channels)
        self.from_rgb = Conv2d(3 + 1 + embedding_channels, width, 1)
        self.encoder = nn.ModuleList(
            ResidualBlock(
                channels,
                widths[min(level + 1, len(widths) - 1)],
                down=2 if level else 1,
                clamp=clamp,
                linear_skip=linear_skip,
            )
            for level, channels in enumerate(widths)
        )
        self.decoder = nn.ModuleList()
        unet_gain = sqrt(1 / 3) if linear_skip else sqrt(1 / 2)
        for level in reversed(range(len(widths))):
            channels = widths[min(level + 1, len(widths) - 1)]
            if level < len(widths) - 1:
                skip = Conv2d(channels, channels, 1, gain=unet_gain, clamp=clamp, norm=True)
                self.add_module(f"unet_block{len(self.decoder)}", skip)
            self.decoder.append(
                ResidualBlock(
                    channels,
                    widths[level],
                    up=2 if level else 1,
                    gain=sqrt(1 / 3),
                    clamp=clamp,
                    norm=True,
                    w_channels=w_channels,
                    linear_skip=linear_skip,
                )
            )
        self.to_rgb = Conv2d(width, 3, 1, act="linear", clamp=clamp)

    def for_inference(self, dtype: torch.dtype = torch.float32) -> FusedStyleGANUnet:
        """As in `Generator`: a copy of the weights with everything folded."""
        return FusedStyleGANUnet(self, dtype)

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
        x, features = self.encode(stack_inputs(condition, mask, {EMBEDDING: embedding}, self.conditions))
        painted = self.decode(x, features, w)
        return condition * mask + painted * (1 - mask)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The stacked inputs (N, 4 + E, H, W) to the lowest features and those of each level above, highest first."""
        x = self.from_rgb(x)
        features: list[Tensor] = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        return x, features[:-1]

    def decode(self, x: Tensor, features: list[Tensor], w: Tensor) -> Tensor:
        """To (N, 3, H, W)."""
        for step, block in enumerate(self.decoder):
            if step:
                skip = self.get_submodule(f"unet_block{step}")
                x = x + skip(features[-step])
            x = block(x, w)
        return self.to_rgb(x)  # type: ignore[no-any-return]
