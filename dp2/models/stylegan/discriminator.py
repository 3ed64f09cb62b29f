"""StyleGAN2's residual discriminator, given the condition beside the picture.

Sources: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020), figure 7; Karras et
al., "Progressive Growing of GANs" (ICLR 2018, section 3) for the standard deviation over the batch; parameter names
as in hukkelas/deep_privacy2, `SG2Discriminator`.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from dp2.errors import UsageError
from dp2.models.stylegan.layers import Conv2d, Linear, ResidualBlock
from dp2.models.stylegan.ops import fir_filter


class StyleGAN2Discriminator(nn.Module):
    """Scores how real a picture looks, given its condition.

    Args:
        resolution: (height, width).
        width: channels at full resolution.
        max_multiplier: bound on the factor by which channels grow.
        lowest: longer side of the last level is the next power-of-two step at or above it.
        embedding_channels: of the body-surface embedding and its mask together; 0 = the network takes none.
        linear_skip: False in published weights, which have leaky ReLU on the 1×1 branches.
        clamp: bound on activations, times each layer's gain.
    """

    def __init__(
        self,
        *,
        resolution: tuple[int, int],
        width: int = 80,
        max_multiplier: int = 8,
        lowest: int = 4,
        embedding_channels: int = 0,
        linear_skip: bool = False,
        clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        levels = (max(resolution) // lowest).bit_length()
        widths = [width * min(2**level, max_multiplier) for level in range(levels)]
        self.from_rgb = _Stem(3 + 3 + 1 + embedding_channels, width, clamp)
        self.layers = nn.ModuleList(
            ResidualBlock(
                channels,
                widths[min(level + 1, levels - 1)],
                down=2 if level else 1,
                clamp=clamp,
                linear_skip=linear_skip,
            )
            for level, channels in enumerate(widths)
        )
        smallest = (resolution[0] >> (levels - 1), resolution[1] >> (levels - 1))
        self.output_layer = _Head(widths[-1], smallest, clamp)
        self.register_buffer("resample_filter", fir_filter())

    def forward(self, image: Tensor, condition: Tensor, mask: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Score a batch; the samples of a group of up to four see each other's spread.

        Args:
            image: (N, 3, H, W) float32 RGB in [-1, 1], real or generated.
            condition: (N, 3, H, W), image · mask.
            mask: (N, 1, H, W): 1 = kept, 0 = painted.
            embedding: (N, E, H, W) where the network was built for it.

        Returns:
            (N, 1) logits, higher = more real.
        """
        inputs = [image, condition, mask] if embedding is None else [image, condition, mask, embedding]
        x = self.from_rgb(torch.cat(inputs, dim=1))
        for layer in self.layers:
            x = layer(x)
        return self.output_layer(x)  # type: ignore[no-any-return]


class _Stem(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, clamp: float | None) -> None:
        super().__init__()
        self.conv0 = Conv2d(in_channels, out_channels, clamp=clamp)
        self.conv1 = Conv2d(out_channels, out_channels, clamp=clamp)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(self.conv0(x))  # type: ignore[no-any-return]


class _Head(nn.Module):
    def __init__(self, channels: int, resolution: tuple[int, int], clamp: float | None) -> None:
        super().__init__()
        self.conv = Conv2d(channels + 1, channels, clamp=clamp)
        self.fc = Linear(channels * prod(resolution), channels, act="lrelu")
        self.out = Linear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(append_batch_spread(x))
        return self.out(self.fc(x.flatten(1)))  # type: ignore[no-any-return]


def append_batch_spread(x: Tensor, group: int = 4) -> Tensor:
    """Add a channel with the standard deviation over a group of samples, averaged over features.

    Args:
        x: (N, C, H, W); N is a multiple of `group` or smaller than it. Sample n is in group n mod (N / group).

    Returns:
        (N, C + 1, H, W).

    Raises:
        UsageError: N is another number.
    """
    count, channels, height, width = x.shape
    size = min(group, count)
    if count % size:
        raise UsageError(f"the discriminator compares samples in groups of {group}; {count} at once are no multiple.")
    y = x.float().reshape(size, -1, channels, height, width)  # (G, N/G, C, H, W)
    spread = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=[1, 2, 3])  # (N/G,)
    spread = spread.repeat(size).view(count, 1, 1, 1).expand(count, 1, height, width)
    return torch.cat([x, spread.to(x.dtype)], dim=1)
