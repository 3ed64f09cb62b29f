"""The mapping network from latents to styles, with truncation towards one or several centres."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dp2.errors import UsageError
from dp2.models.stylegan.layers import Linear


class StyleNet(nn.Module):
    """Two linear layers with leaky ReLU from a normalised latent to a style, in float32 whatever surrounds it.

    Sources: Karras et al., "A Style-Based Generator Architecture" (CVPR 2019) for the network and truncation;
    Mokady et al., "Self-Distilled StyleGAN" (SIGGRAPH 2022) for truncation towards cluster centres.

    Attributes:
        w_avg: (w_channels,) float32, the average style.
        w_centers: (M, w_channels) float32, centres of clusters of styles; M = 0 until `set_centers`.
    """

    w_avg: Tensor
    w_centers: Tensor

    def __init__(self, *, z_channels: int, w_channels: int, lr_multiplier: float = 0.01) -> None:
        super().__init__()
        self.fc0 = Linear(z_channels, w_channels, act="lrelu", lr_multiplier=lr_multiplier)
        self.fc1 = Linear(w_channels, w_channels, act="lrelu", lr_multiplier=lr_multiplier)
        self.register_buffer("w_avg", torch.zeros(w_channels))
        # outside the state dict: only some checkpoints hold centres, and at differing places
        self.register_buffer("w_centers", torch.zeros(0, w_channels), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """(N, z_channels) to (N, w_channels) float32."""
        with torch.autocast(z.device.type, enabled=False):
            x = z.float()
            x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
            y: Tensor = self.fc1(self.fc0(x))
            return y

    def truncated(self, z: Tensor, truncation: float | None, center_index: Tensor | None) -> Tensor:
        """`Generator.style` describes the arguments."""
        w = self(z)
        if truncation is None:
            return w  # type: ignore[no-any-return]
        return self._center(center_index).lerp(w, min(max(truncation, 0.0), 1.0))

    def _center(self, index: Tensor | None) -> Tensor:
        if index is None:
            return self.w_avg
        if len(self.w_centers) == 0:
            raise UsageError(
                "this checkpoint holds no w_centers, which multi-modal truncation needs; use plain truncation"
            )
        return self.w_centers[index.to(self.w_centers.device) % len(self.w_centers)]

    def set_centers(self, centers: Tensor) -> None:
        """Hold (M, w_channels) centres for multi-modal truncation.

        Raises:
            ValueError: another shape.
        """
        if centers.dim() != 2 or centers.shape[1] != len(self.w_avg):
            raise ValueError(f"w_centers must be (M, {len(self.w_avg)}), not {tuple(centers.shape)}")
        self.w_centers = centers.to(self.w_avg)

    @torch.no_grad()
    def update_average(self, w: Tensor, decay: float = 0.998) -> None:
        """Move `w_avg` towards the mean of a training batch of styles (N, w_channels)."""
        self.w_avg.copy_(w.detach().float().mean(dim=0).lerp(self.w_avg, decay))


class Styled(nn.Module):
    """A generator whose styles come from a `StyleNet`.

    Attributes:
        style_net: set by the class that paints.
    """

    style_net: StyleNet

    def style(self, z: Tensor, *, truncation: float | None = None, center_index: Tensor | None = None) -> Tensor:
        """As in `Generator`."""
        return self.style_net.truncated(z, truncation, center_index)

    def set_w_centers(self, centers: Tensor) -> None:
        """As in `Generator`."""
        self.style_net.set_centers(centers)
