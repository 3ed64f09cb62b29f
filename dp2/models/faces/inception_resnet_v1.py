"""FaceNet on Inception-ResNet v1: faces to embeddings.

Sources: Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering" (CVPR 2015) for the task;
Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections" (AAAI 2017), figures 9 to 13,
for the network. Channels, scales and names are those of davidsandberg/facenet and timesler/facenet-pytorch, whose
weights load as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_Size = int | tuple[int, int]


class _Conv(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, size: _Size, stride: int = 1, padding: _Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.bn(self.conv(x)))


class _Branches(nn.Module):
    """Paths side by side, stacked over channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.count = len(branches)
        for index, branch in enumerate(branches):
            self.add_module(f"branch{index}", branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([getattr(self, f"branch{index}")(x) for index in range(self.count)], dim=1)


class _Residual(_Branches):
    """Adds what the branches make, brought to the input's channels and scaled down (section 3.3 of the paper)."""

    def __init__(self, channels: int, stacked: int, scale: float, *branches: nn.Module, act: bool = True) -> None:
        super().__init__(*branches)
        self.scale = scale
        self.act = act
        self.conv2d = nn.Conv2d(stacked, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.add(x, self.conv2d(super().forward(x)), alpha=self.scale)
        return F.relu_(x) if self.act else x


def _block35() -> _Residual:
    return _Residual(
        256,
        96,
        0.17,
        _Conv(256, 32, 1),
        nn.Sequential(_Conv(256, 32, 1), _Conv(32, 32, 3, padding=1)),
        nn.Sequential(_Conv(256, 32, 1), _Conv(32, 32, 3, padding=1), _Conv(32, 32, 3, padding=1)),
    )


def _block17() -> _Residual:
    wide, tall = _Conv(128, 128, (1, 7), padding=(0, 3)), _Conv(128, 128, (7, 1), padding=(3, 0))
    return _Residual(896, 256, 0.1, _Conv(896, 128, 1), nn.Sequential(_Conv(896, 128, 1), wide, tall))


def _block8(scale: float = 0.2, *, act: bool = True) -> _Residual:
    wide, tall = _Conv(192, 192, (1, 3), padding=(0, 1)), _Conv(192, 192, (3, 1), padding=(1, 0))
    branches = _Conv(1792, 192, 1), nn.Sequential(_Conv(1792, 192, 1), wide, tall)
    return _Residual(1792, 384, scale, *branches, act=act)


class InceptionResnetV1(nn.Module):
    """Faces of 160×160 pixels to embeddings of `channels` numbers."""

    channels = 512
    resolution = (160, 160)

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = _Conv(3, 32, 3, stride=2)
        self.conv2d_2a = _Conv(32, 32, 3)
        self.conv2d_2b = _Conv(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = _Conv(64, 80, 1)
        self.conv2d_4a = _Conv(80, 192, 3)
        self.conv2d_4b = _Conv(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = _Branches(
            _Conv(256, 384, 3, stride=2),
            nn.Sequential(_Conv(256, 192, 1), _Conv(192, 192, 3, padding=1), _Conv(192, 256, 3, stride=2)),
            nn.MaxPool2d(3, stride=2),
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = _Branches(
            nn.Sequential(_Conv(896, 256, 1), _Conv(256, 384, 3, stride=2)),
            nn.Sequential(_Conv(896, 256, 1), _Conv(256, 256, 3, stride=2)),
            nn.Sequential(_Conv(896, 256, 1), _Conv(256, 256, 3, padding=1), _Conv(256, 256, 3, stride=2)),
            nn.MaxPool2d(3, stride=2),
        )
        self.repeat_3 = nn.Sequential(*(_block8() for _ in range(5)))
        self.block8 = _block8(1.0, act=False)
        self.last_linear = nn.Linear(1792, self.channels, bias=False)
        self.last_bn = nn.BatchNorm1d(self.channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 160, 160) float32 RGB in [-1, 1] to (N, 512) float32 of length 1."""
        x = self.maxpool_3a(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x))))
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.mixed_6a(self.repeat_1(x))
        x = self.mixed_7a(self.repeat_2(x))
        x = self.block8(self.repeat_3(x))
        return F.normalize(self.last_bn(self.last_linear(x.mean(dim=(2, 3)))))
