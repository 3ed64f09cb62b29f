"""dp2's own face generator as an ONNX graph, built from its checkpoint without torch.

The network is that of `dp2.models.portrait.unet`, whose docstrings say where it comes from; the names are its keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from dp2.inference.onnx_nodes import CheckpointNodes
from dp2.weights.tables import CheckpointArrays

_SLOPE = 0.2
_COARSEST = 4  # pixels
_LARGE = 128  # pixels: at levels of this side and above there is one modulated convolution in place of two
_SEEN = 8  # channels: the picture with its tone in the hole, the hole, three maps of landmarks, sharpness


def portrait_onnx(arrays: CheckpointArrays, *, widths: Sequence[int], w_channels: int) -> bytes:
    """A serialised model: "seen" (1, 8, S, S) and "w" (1, w_channels) to "image" (1, 3, S, S) in [-1, 1].

    Args:
        arrays: of the checkpoint, without the mapping network's and the average style.
        widths, w_channels: as of `dp2.models.portrait.unet.PortraitUnet`.

    Raises:
        CheckpointMismatch: they are not that network's.
    """
    return _Graph(arrays).model(tuple(widths), w_channels)


class _Graph(CheckpointNodes):
    """The nodes made so far."""

    def model(self, widths: tuple[int, ...], w_channels: int) -> bytes:
        levels = len(widths)
        side = _COARSEST << (levels - 1)
        deep = widths[-1] * _COARSEST**2
        features = self._encoded(widths)
        x = features[-1]
        flat = self._add("Flatten", [x])
        style = self._add("Concat", ["w", self._act(self._linear("surroundings", flat, deep, w_channels))], axis=1)
        start = self._linear("start", self._act("w"), w_channels, deep)
        x = self._add("Add", [x, self._shaped(start, (1, widths[-1], _COARSEST, _COARSEST))])
        image: str | None = None
        for level in range(levels - 1, -1, -1):
            width = widths[level]
            if level < levels - 1:
                x = self._halved(x, features[level])
            residual = x
            for number in range(1 if side >> level >= _LARGE else 2):
                residual = self._modulated(f"decoder.{level}.{number}", residual, style, width, 2 * w_channels)
            x = self._halved(x, residual)
            if level < levels - 2:
                rgb = self._convolved(f"to_rgb.{level}", x, (3, width, 1, 1))
                image = rgb if image is None else self._add("Add", [image, rgb])
                image = self._doubled(image) if level else image
            if level:
                x = self._doubled(self._convolved(f"up.{level - 1}", x, (widths[level - 1], width, 1, 1)))
        painted = self._add("Tanh", [image or x])
        return self._serialised(
            {"seen": (1, _SEEN, side, side), "w": (1, w_channels)}, painted, (1, 3, side, side), "image"
        )

    def _encoded(self, widths: tuple[int, ...]) -> list[str]:
        """What the encoder makes of the surroundings, from full resolution down."""
        x = self._act(self._convolved("stem", "seen", (widths[0], _SEEN, 5, 5)))
        features: list[str] = []
        for level, width in enumerate(widths):
            if level:
                x = self._act(self._convolved(f"down.{level - 1}", x, (width, widths[level - 1], 3, 3), stride=2))
            if level >= len(widths) - 3:
                more = self._act(self._convolved(f"encode_more.{level}", x, (width, width, 3, 3)))
                x = self._add("Add", [x, self._add("Mul", [more, self._constant(np.array(0.5))])])
            features.append(x)
        return features

    def _modulated(self, name: str, x: str, style: str, width: int, style_width: int) -> str:
        weight = self._arrays.take(f"{name}.weight", (width, width, 3, 3))
        scale = self._linear(f"{name}.affine", style, style_width, width)
        energy = self._constant(np.square(weight).sum((2, 3)).T)
        norm = self._add("MatMul", [self._add("Mul", [scale, scale]), energy])
        norm = self._add("Sqrt", [self._add("Add", [norm, self._constant(np.array(1e-6))])])
        norm = self._add("Div", [self._constant(np.array(sqrt(2))), norm])
        x = self._add("Mul", [x, self._shaped(scale, (1, width, 1, 1))])
        x = self._add("Conv", [x, self._constant(weight)], pads=[1] * 4)
        x = self._add("Mul", [x, self._shaped(norm, (1, width, 1, 1))])
        bias = self._arrays.take(f"{name}.bias", (width,))
        return self._act(self._add("Add", [x, self._constant(bias[None, :, None, None])]))

    def _convolved(self, name: str, x: str, shape: tuple[int, int, int, int], *, stride: int = 1) -> str:
        kernel, bias = self._arrays.take(f"{name}.weight", shape), self._arrays.take(f"{name}.bias", shape[:1])
        inputs = [x, self._constant(kernel), self._constant(bias)]
        return self._add("Conv", inputs, strides=[stride] * 2, pads=[shape[2] // 2] * 4)

    def _linear(self, name: str, x: str, size: int, out_size: int) -> str:
        weight, bias = (
            self._arrays.take(f"{name}.weight", (out_size, size)),
            self._arrays.take(f"{name}.bias", (out_size,)),
        )
        return self._add("Gemm", [x, self._constant(weight), self._constant(bias)], transB=1)

    def _halved(self, one: str, other: str) -> str:
        """The sum of two, of the variance of one."""
        return self._add("Mul", [self._add("Add", [one, other]), self._constant(np.array(sqrt(0.5)))])

    def _doubled(self, x: str) -> str:
        """Twice as large, each pixel four times."""
        factors = self._constant(np.array([1.0, 1.0, 2.0, 2.0]))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self._add("Resize", [x, "", factors], **how)

    def _shaped(self, x: str, shape: tuple[int, ...]) -> str:
        return self._add("Reshape", [x, self._whole_numbers(shape)])

    def _act(self, x: str) -> str:
        return self._add("LeakyRelu", [x], alpha=_SLOPE)
