"""ViTPose: heat maps of 17 COCO keypoints for people that were already boxed.

Sources: Dosovitskiy et al., "An Image is Worth 16x16 Words" (ICLR 2021); Xu et al., "ViTPose: Simple Vision Transformer
Baselines for Human Pose Estimation" (arXiv 2204.12484), its "classic" decoder. Parameters have the published names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import resize

from dp2.types import Box

HEIGHT, WIDTH = 256, 192  # of a crop
KEYPOINTS = 17
_PATCH = 16
_TOKENS = (HEIGHT // _PATCH, WIDTH // _PATCH)
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Size:
    """Sizes of a ViTPose.

    Attributes:
        channels: of a token.
        depth: transformer blocks.
        heads: of the attention.
        decoder_channels: of the deconvolutions.
    """

    channels: int
    depth: int
    heads: int
    decoder_channels: int = 256


BASE = Size(768, 12, 12)
LARGE = Size(1024, 24, 16)
HUGE = Size(1280, 32, 16)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, C) to (N, T, C)."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (N, heads, T, C / heads) each
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Two layers, four times as wide between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A transformer block that normalises first: equations 2 and 3 of the ViT paper."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MLP(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class PatchEmbedding(nn.Module):
    """One token a patch. The two pixels of padding shift the patches, for their number is rounded down."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, _PATCH, _PATCH, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 256, 192) to (N, 192, C)."""
        return self.proj(x).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class Backbone(nn.Module):
    """The vision transformer."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        # the first position is that of a class token, which the pre-trained network had
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + prod(_TOKENS), size.channels))
        self.patch_embed = PatchEmbedding(size.channels)
        self.blocks = nn.Sequential(*(Block(size.channels, size.heads) for _ in range(size.depth)))
        self.last_norm = nn.LayerNorm(size.channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 256, 192) to (N, C, 16, 12)."""
        x = self.patch_embed(x) + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        return self.last_norm(self.blocks(x)).transpose(1, 2).unflatten(2, _TOKENS)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Two deconvolutions to four times the size, then one map a keypoint."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (size.channels, size.decoder_channels):
            layers += [
                nn.ConvTranspose2d(channels, size.decoder_channels, 4, 2, 1, bias=False),
                nn.BatchNorm2d(size.decoder_channels),
                nn.ReLU(inplace=True),
            ]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(size.decoder_channels, KEYPOINTS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 16, 12) to (N, 17, 64, 48)."""
        return self.final_layer(self.deconv_layers(x))  # type: ignore[no-any-return]


class ViTPose(nn.Module):
    """Crops to heat maps.

    Args:
        size: `BASE`, `LARGE`, `HUGE` or other.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.backbone = Backbone(size)
        self.keypoint_head = Decoder(size)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, 256, 192) from `cut` to (N, 17, 64, 48)."""
        return self.keypoint_head(self.backbone(crops))  # type: ignore[no-any-return]


def surrounding(box: Sequence[float]) -> Box:
    """The crop around a person's box x0 y0 x1 y1 in pixels: grown to four by three about its middle.

    Rounded as the published pipeline does; it may leave the picture and may be a pixel too small.
    """
    x0, y0, x1, y1 = map(int, box)
    width, height = x1 - x0, y1 - y0
    if height * WIDTH > width * HEIGHT:
        middle, half = (x0 + x1) // 2, int(height * WIDTH / HEIGHT / 2)
        return middle - half, y0, middle + half, y1
    middle, half = (y0 + y1) // 2, int(width * HEIGHT / WIDTH / 2)
    return x0, middle - half, x1, middle + half


def cut(image: Tensor, boxes: Sequence[Sequence[float]]) -> Tensor:
    """What the network sees of boxed people: black around their box, normalised.

    Args:
        image: (3, H, W) uint8 RGB.
        boxes: (N, 4) x0 y0 x1 y1 in pixels; each at least a pixel wide and high.

    Returns:
        (N, 3, 256, 192) float32.
    """
    mean, std = (image.new_tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (_MEAN, _STD))
    crops = [(resize(_padded(image, box), [HEIGHT, WIDTH], antialias=True) - mean) / std for box in boxes]
    return torch.stack(crops) if crops else mean.new_zeros(0, 3, HEIGHT, WIDTH)


def _padded(image: Tensor, box: Sequence[float]) -> Tensor:
    """(3, h, w) float32 in [0, 1]: the surroundings of a box, of which only the inside of the box is shown."""
    left, top, right, bottom = surrounding(box)
    x0, y0, x1, y1 = map(int, box)
    x0, y0 = max(x0, left, 0), max(y0, top, 0)
    x1, y1 = min(x1, right, image.shape[2]), min(y1, bottom, image.shape[1])
    canvas = image.new_zeros(3, max(bottom - top, 1), max(right - left, 1), dtype=torch.float32)
    if x1 > x0 and y1 > y0:
        canvas[:, y0 - top : y1 - top, x0 - left : x1 - left] = image[:, y0:y1, x0:x1] / 255
    return canvas


def decode(heatmaps: Tensor, boxes: Sequence[Sequence[float]]) -> Tensor:
    """The peaks of heat maps in the picture.

    Args:
        heatmaps: (N, 17, 64, 48), of `ViTPose`.
        boxes: (N, 4), those that `cut` was given.

    Returns:
        (N, 17, 3) float32: x, y in pixels and the height of the peak.
    """
    height, width = heatmaps.shape[2:]
    scores, peaks = heatmaps.float().flatten(2).max(2)
    crops = heatmaps.new_tensor([surrounding(box) for box in boxes], dtype=torch.float32).view(-1, 4, 1)
    left, top, right, bottom = crops.unbind(1)  # (N, 1) each
    x = left + (peaks % width) * (right - left) / width
    y = top + peaks.div(width, rounding_mode="floor") * (bottom - top) / height
    return torch.stack((x, y, scores), dim=2)
