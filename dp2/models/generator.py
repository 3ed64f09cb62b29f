"""What every generator promises the synthesizer. An implementation is any module that fits; there is no base class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from dp2.errors import UsageError

EMBEDDING = "embedding"
KEYPOINTS = "keypoints"
JOINT_MAP = "joint_map"
SILHOUETTE = "silhouette"
TONE = "tone"


class Generator(Protocol):
    """Paints new content where the mask is 0.

    Attributes:
        z_channels: length of the latent z.
        resolution: (height, width) in pixels of everything it takes and gives.
        conditions: which of embedding, keypoints, joint_map, silhouette, tone its `forward` needs beyond picture
            and mask.
    """

    z_channels: int
    resolution: tuple[int, int]
    conditions: tuple[str, ...]

    def style(self, z: Tensor, *, truncation: float | None = None, center_index: Tensor | None = None) -> Tensor:
        """Map latents to styles, always in float32, also under autocast.

        Args:
            z: (N, z_channels) float32, standard normal.
            truncation: in [0, 1], clamped: 1 or None = as drawn, 0 = the average style or centre.
            center_index: (N,) int64: multi-modal truncation towards these rows of the checkpoint's `w_centers`,
                modulo their number; None = towards the average style.

        Returns:
            (N, w_channels) float32. A generator without a style space gives back z and ignores the rest.

        Raises:
            UsageError: `center_index` is given and the generator holds no centres.
        """

    def set_w_centers(self, centers: Tensor) -> None:
        """Hold the centres of multi-modal truncation, (M, w_channels) float32; never part of the state dict."""

    def for_inference(self, dtype: torch.dtype = torch.float32) -> Generator:
        """An equivalent that is faster and cannot be trained; itself where there is nothing to gain.

        Args:
            dtype: of the convolutions; styles stay float32, and so does the result.
        """

    def __call__(
        self,
        condition: Tensor,
        mask: Tensor,
        *,
        w: Tensor | None = None,
        z: Tensor | None = None,
        embedding: Tensor | None = None,
        keypoints: Tensor | None = None,
        joint_map: Tensor | None = None,
        silhouette: Tensor | None = None,
    ) -> Tensor:
        """Inpaint a batch.

        Args:
            condition: (N, 3, H, W) float32 RGB in [-1, 1], 0 where the mask is 0.
            mask: (N, 1, H, W) float32: 1 = keep, 0 = paint.
            w: (N, w_channels) from `style`; give this or z.
            z: (N, z_channels): `style` is applied without truncation.
            embedding: (N, E + 1, H, W) float32: E surface coordinates of each pixel, 0 off the body; last the body
                mask, 1 = body.
            keypoints: (N, K, 3) float32: x, y as fractions of the crop, and visibility.
            joint_map: (N, 1, H, W): 0 = none, k = limb or joint k.
            silhouette: (N, 1, H, W): 1 = body as segmented, before the hole was widened.
            tone: (N, 3) in [-1, 1]: coarse mean colour of the hole. Only generators that name it take it.

        Returns:
            (N, 3, H, W): `condition` where the mask is 1, generated pixels around [-1, 1] (not clamped) elsewhere.

        Raises:
            UsageError: a needed condition is missing, or neither w nor z is given.
        """


def require_style(w: Tensor | None, z: Tensor | None, style_net: Callable[[Tensor], Tensor]) -> Tensor:
    """The styles of a call: w itself, or what the style network makes of z.

    Raises:
        UsageError: neither is given.
    """
    if w is not None:
        return w
    if z is None:
        raise UsageError("the generator needs a style w or a latent z")
    return style_net(z)


def stack_inputs(
    condition: Tensor, mask: Tensor, optional: Mapping[str, Tensor | None], needed: tuple[str, ...]
) -> Tensor:
    """Picture, mask and the needed conditions in their order, over channels: (N, 4 + …, H, W).

    Raises:
        UsageError: names the needed conditions that are missing.
    """
    inputs = [condition, mask]
    for name in needed:
        extra = optional.get(name)
        if extra is None:
            raise UsageError(f"the generator needs {name} beside the picture and the mask")
        inputs.append(extra)
    return torch.cat(inputs, dim=1)
