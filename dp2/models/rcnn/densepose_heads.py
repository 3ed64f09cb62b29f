"""The parts of DensePose that follow a person's box, under the published parameter names.

Sources: Neverova et al. 2020, "Continuous Surface Embeddings"; Chen et al. 2017 (atrous spatial pyramid pooling);
Kirillov et al. 2019 (decoder over a pyramid); names and order as in detectron2's `projects/DensePose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.models.rcnn.resnet_fpn import Conv

_GROUPS = 32
_RATES = (6, 12, 56)


class Decoder(nn.Module):
    """Pyramid levels p2 … p5, brought to stride 4 and added up."""

    def __init__(self, *, channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        for level in range(2, 6):
            layers: list[nn.Module] = []
            for i in range(max(1, level - 2)):
                layers.append(Conv(width if i else channels, width, 3, relu=True))
                if level > 2:
                    layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            self.add_module(f"p{level}", nn.Sequential(*layers))
        self.predictor = nn.Conv2d(width, out_channels, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """p2 … p5 → [N, out_channels, H / 4, W / 4]."""
        x = cast(Tensor, self.get_submodule("p2")(features[0]))
        for level, feature in enumerate(features[1:], start=3):
            x = x + self.get_submodule(f"p{level}")(feature)
        return cast(Tensor, self.predictor(x))


class AtrousConv(nn.Conv2d):
    """A dilated 3×3 convolution that skips the taps which only ever meet padding."""

    def __init__(self, in_channels: int, out_channels: int, rate: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=rate, dilation=rate, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if max(x.shape[-2:]) <= self.dilation[0]:
            return F.conv2d(x, self.weight[:, :, 1:2, 1:2])
        return super().forward(x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the same map seen at several scales, and as a whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def branch(*layers: nn.Module) -> nn.Sequential:
            return nn.Sequential(*layers, nn.GroupNorm(_GROUPS, channels), nn.ReLU(inplace=True))

        self.convs = nn.ModuleList([branch(nn.Conv2d(channels, channels, 1, bias=False))])
        self.convs.extend(branch(AtrousConv(channels, channels, rate)) for rate in _RATES)
        self.convs.append(branch(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1, bias=False)))
        width = channels * len(self.convs)
        self.project = nn.Sequential(nn.Conv2d(width, channels, 1, bias=False), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """[R, C, S, S] → the same shape."""
        *local, whole = [conv(x) for conv in self.convs]
        return cast(Tensor, self.project(torch.cat((*local, whole.expand_as(x)), dim=1)))


class DensePoseHead(nn.Module):
    """Eight 3×3 convolutions; the DeepLab variant has ASPP before and group norms within.

    Args:
        deeplab: the head of the R101 DL models; else that of the R50 model (`DensePoseV1ConvXHead`).
    """

    def __init__(self, *, channels: int, width: int, convs: int, deeplab: bool) -> None:
        super().__init__()
        self.ASPP = ASPP(channels) if deeplab else None
        self.convs = convs
        for i in range(convs):
            norm = nn.GroupNorm(_GROUPS, width) if deeplab else None
            self.add_module(f"body_conv_fcn{i + 1}", Conv(width if i else channels, width, 3, norm=norm, relu=True))

    def forward(self, regions: Tensor) -> Tensor:
        """[R, C, S, S] → [R, width, S, S]."""
        x = regions if self.ASPP is None else self.ASPP(regions)
        for i in range(self.convs):
            x = self.get_submodule(f"body_conv_fcn{i + 1}")(x)
        return x


class EmbeddingPredictor(nn.Module):
    """Body or background, and the surface embedding, at four times the head's resolution."""

    def __init__(self, *, width: int, embedding: int) -> None:
        super().__init__()
        self.coarse_segm_lowres = nn.ConvTranspose2d(width, 2, 4, stride=2, padding=1)
        self.embed_lowres = nn.ConvTranspose2d(width, embedding, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[R, width, S, S] → logits [R, 2, 4·S, 4·S] and embeddings [R, E, 4·S, 4·S], float32."""
        layers = (self.coarse_segm_lowres, self.embed_lowres)
        # One pass over the 512 channels instead of two
        weight = torch.cat([layer.weight for layer in layers], dim=1)
        bias = torch.cat([cast(Tensor, layer.bias) for layer in layers])
        planes = F.conv_transpose2d(x, weight, bias, stride=2, padding=1).float()
        planes = F.interpolate(planes, scale_factor=2.0, mode="bilinear", align_corners=False)
        return planes[:, :2], planes[:, 2:]


class VertexEmbedder(nn.Module):
    """Embeddings of a mesh's vertices: fixed features times a learnt matrix, rows of length one."""

    embeddings: Tensor
    features: Tensor

    def __init__(self, *, vertices: int, features: int, embedding: int) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(torch.zeros(features, embedding))
        self.register_buffer("features", torch.zeros(vertices, features))

    def forward(self) -> Tensor:
        """(V, E) float32."""
        rows = self.features.float() @ self.embeddings.float()
        lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return rows / lengths.clamp(min=1e-6)
