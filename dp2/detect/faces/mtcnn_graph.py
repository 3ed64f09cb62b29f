"""The three networks of MTCNN as ONNX graphs, built from their checkpoints.

They are those of Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", figure 2; the layer names are facenet-pytorch's. All take "images" (N, 3, H, W) float32 in [-1, 1] and give
face probabilities, and offsets of the box as fractions of its sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from dp2.inference.onnx_nodes import CheckpointNodes, Shape
from dp2.weights.tables import CheckpointArrays

_INPUT = "images"

OUTPUTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pnet": ("probability", "offset"),
        "rnet": ("probability", "offset"),
        "onet": ("probability", "offset", "landmarks"),
    }
)
"""Names of each network's outputs, in order."""


def pnet_onnx(arrays: Mapping[str, NDArray[Any]], source: str) -> bytes:
    """Proposal network, fully convolutional: one 12×12 window every 2 pixels.

    Outputs: probability (N, h, w) and offset (N, 4, h, w).

    Args:
        arrays: name → array of the checkpoint.
        source: the file, for errors.

    Raises:
        CheckpointMismatch: they are not that network's.
    """
    net = _Graph(CheckpointArrays(arrays, source, "MTCNN's PNet"))
    x = net.pooled(net.convolved("conv1", "prelu1", _INPUT, (10, 3, 3, 3)), 2)
    x = net.convolved("conv2", "prelu2", x, (16, 10, 3, 3))
    x = net.convolved("conv3", "prelu3", x, (32, 16, 3, 3))
    face = net.face(net.convolved("conv4_1", None, x, (2, 32, 1, 1)))
    offset = net.convolved("conv4_2", None, x, (4, 32, 1, 1))
    return net.model(("N", 3, "H", "W"), probability=(face, ("N", "h", "w")), offset=(offset, ("N", 4, "h", "w")))


def rnet_onnx(arrays: Mapping[str, NDArray[Any]], source: str) -> bytes:
    """Refinement network on 24×24 crops.

    Outputs: probability (N,) and offset (N, 4). Arguments and errors as of `pnet_onnx`.
    """
    net = _Graph(CheckpointArrays(arrays, source, "MTCNN's RNet"))
    x = net.pooled(net.convolved("conv1", "prelu1", _INPUT, (28, 3, 3, 3)), 3)
    x = net.pooled(net.convolved("conv2", "prelu2", x, (48, 28, 3, 3)), 3)
    x = net.flat(net.convolved("conv3", "prelu3", x, (64, 48, 2, 2)))  # [N, 576]
    x = net.activated("prelu4", net.dense("dense4", x, (128, 576)), (128,))
    face, offset = net.face(net.dense("dense5_1", x, (2, 128))), net.dense("dense5_2", x, (4, 128))
    return net.model(("N", 3, 24, 24), probability=(face, ("N",)), offset=(offset, ("N", 4)))


def onet_onnx(arrays: Mapping[str, NDArray[Any]], source: str) -> bytes:
    """Output network on 48×48 crops.

    Outputs: probability (N,), offset (N, 4) and landmarks (N, 10): 5 x, then 5 y, as fractions of the box. Arguments
    and errors as of `pnet_onnx`.
    """
    net = _Graph(CheckpointArrays(arrays, source, "MTCNN's ONet"))
    x = net.pooled(net.convolved("conv1", "prelu1", _INPUT, (32, 3, 3, 3)), 3)
    x = net.pooled(net.convolved("conv2", "prelu2", x, (64, 32, 3, 3)), 3)
    x = net.pooled(net.convolved("conv3", "prelu3", x, (64, 64, 3, 3)), 2)
    x = net.flat(net.convolved("conv4", "prelu4", x, (128, 64, 2, 2)))  # [N, 1152]
    x = net.activated("prelu5", net.dense("dense5", x, (256, 1152)), (256,))
    face, offset = net.face(net.dense("dense6_1", x, (2, 256))), net.dense("dense6_2", x, (4, 256))
    landmarks = net.dense("dense6_3", x, (10, 256))
    return net.model(
        ("N", 3, 48, 48), probability=(face, ("N",)), offset=(offset, ("N", 4)), landmarks=(landmarks, ("N", 10))
    )


class _Graph(CheckpointNodes):
    """The layers of which the three networks are made; each takes and gives names of tensors."""

    def convolved(self, name: str, activation: str | None, x: str, shape: tuple[int, int, int, int]) -> str:
        """A convolution without padding, and its PReLU."""
        weight, bias = self._arrays.take(f"{name}.weight", shape), self._arrays.take(f"{name}.bias", shape[:1])
        x = self._add("Conv", [x, self._constant(weight), self._constant(bias)])
        return x if activation is None else self.activated(activation, x, (shape[0], 1, 1))

    def activated(self, name: str, x: str, shape: tuple[int, ...]) -> str:
        """PReLU with one slope a channel; `shape` spreads the slopes over the other axes."""
        slopes = self._arrays.take(f"{name}.weight", shape[:1])
        return self._add("PRelu", [x, self._constant(slopes.reshape(shape))])

    def pooled(self, x: str, window: int) -> str:
        """The largest value of each window, every 2 pixels; the last window may reach beyond the border."""
        return self._add("MaxPool", [x], kernel_shape=[window] * 2, strides=[2, 2], ceil_mode=1)

    def dense(self, name: str, x: str, shape: tuple[int, int]) -> str:
        weight, bias = self._arrays.take(f"{name}.weight", shape), self._arrays.take(f"{name}.bias", shape[:1])
        return self._add("Gemm", [x, self._constant(weight), self._constant(bias)], transB=1)

    def flat(self, x: str) -> str:
        """(N, C, H, W) to (N, W·H·C): the weights were trained in Caffe from Matlab, columns before rows."""
        return self._add("Flatten", [self._add("Transpose", [x], perm=[0, 3, 2, 1])])

    def face(self, x: str) -> str:
        """The probability of the second of two classes, without the axis of classes."""
        return self._add("Gather", [self._add("Softmax", [x], axis=1), self._whole_number(1)], axis=1)

    def model(self, shape: Shape, **outputs: tuple[str, Shape]) -> bytes:
        return self._model({_INPUT: shape}, outputs)


GRAPHS: Mapping[str, Callable[[Mapping[str, NDArray[Any]], str], bytes]] = MappingProxyType(
    {"pnet": pnet_onnx, "rnet": rnet_onnx, "onet": onet_onnx}
)
"""Builds each network's graph."""
