"""The harmonizer and the pose network as ONNX graphs, built from their checkpoints without torch.

The networks are those of `dp2.models.harmonizer` and `dp2.models.face_pose`; the names are their keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dp2.inference.onnx_nodes import CheckpointNodes
from dp2.weights.tables import CheckpointArrays

SEEN = 8  # channels of the harmonizer: picture, hole, rendering, its mask
SIDE, MASK, NUMBERS = 96, 48, 15  # of the pose network: crop, mask, numbers with the face's logit
HARMONIZER_WIDTHS = (24, 48, 96, 160, 224, 224)
POSE_WIDTHS, POSE_HIDDEN = (16, 32, 64, 128), 160


def harmonizer_onnx(arrays: CheckpointArrays, side: int, widths: Sequence[int] = HARMONIZER_WIDTHS) -> bytes:
    """A serialised model: "seen" (1, 8, side, side) to "image" (1, 3, side, side), in about [0, 1].

    Args:
        arrays: of the checkpoint.
        side: a multiple of 32.
        widths: as of `dp2.models.harmonizer.Harmonizer`.

    Raises:
        CheckpointMismatch: they are not that network's.
    """
    return _Harmonizer(arrays).model(tuple(widths), side)


def pose_onnx(arrays: CheckpointArrays, widths: Sequence[int] = POSE_WIDTHS, hidden: int = POSE_HIDDEN) -> bytes:
    """A serialised model: "crop" (1, 3, 96, 96) in [-1, 1] to "told" (1, 15 + 48·48): numbers, then the mask's logits.

    Args:
        arrays: of the checkpoint.
        widths, hidden: as of `dp2.models.face_pose.FacePoseNet`.

    Raises:
        CheckpointMismatch: they are not that network's.
    """
    return _Pose(arrays).model(tuple(widths), hidden)


class _Nodes(CheckpointNodes):
    def _convolved(self, name: str, x: str, shape: tuple[int, int, int, int], stride: int = 1) -> str:
        kernel, bias = self._arrays.take(f"{name}.weight", shape), self._arrays.take(f"{name}.bias", shape[:1])
        inputs = [x, self._constant(kernel), self._constant(bias)]
        return self._add("Conv", inputs, strides=[stride] * 2, pads=[shape[2] // 2] * 4)

    def _silu(self, x: str) -> str:
        return self._add("Mul", [x, self._add("Sigmoid", [x])])

    def _doubled(self, x: str, mode: str) -> str:
        """Twice as large: "linear" between the middles of pixels, or "nearest"."""
        factors = self._constant(np.array([1.0, 1.0, 2.0, 2.0]))
        how = {"mode": mode, "coordinate_transformation_mode": "half_pixel" if mode == "linear" else "asymmetric"}
        if mode == "nearest":
            how["nearest_mode"] = "floor"
        return self._add("Resize", [x, "", factors], **how)

    def _channels(self, x: str, start: int, end: int) -> str:
        return self._add("Slice", [x, *(self._whole_numbers([number]) for number in (start, end, 1))])


class _Harmonizer(_Nodes):
    def model(self, widths: tuple[int, ...], side: int) -> bytes:
        x = self._convolved("stem", "seen", (widths[0], SEEN, 3, 3))
        skips: list[str] = []
        for level, width in enumerate(widths):
            if level:
                x = self._add("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            x = self._block(f"down.{level}", x, widths[max(0, level - 1)], width)
            skips.append(x)
        for place, level in enumerate(range(len(widths) - 1, 0, -1)):
            x = self._add("Concat", [self._doubled(x, "linear"), skips[level - 1]], axis=1)
            x = self._block(f"up.{place}", x, widths[level] + widths[level - 1], widths[level - 1])
        changed = self._convolved("last", self._silu(x), (3, widths[0], 3, 3))
        picture, rendering = self._channels("seen", 0, 3), self._channels("seen", 4, 7)
        drawn = self._channels("seen", 7, 8)
        left = self._add("Mul", [picture, self._add("Sub", [self._constant(np.array(1.0)), drawn])])
        image = self._add("Add", [self._add("Add", [changed, rendering]), left])
        return self._serialised({"seen": (1, SEEN, side, side)}, image, (1, 3, side, side), "image")

    def _block(self, name: str, x: str, before: int, after: int) -> str:
        inner = self._convolved(f"{name}.first", self._silu(x), (after, before, 3, 3))
        inner = self._convolved(f"{name}.second", self._silu(inner), (after, after, 3, 3))
        straight = x if before == after else self._convolved(f"{name}.straight", x, (after, before, 1, 1))
        return self._add("Add", [straight, inner])


class _Pose(_Nodes):
    def model(self, widths: tuple[int, ...], hidden: int) -> bytes:
        x = self._silu(self._convolved("stem", "crop", (widths[0], 3, 5, 5), 2))
        skips = [x]
        for level, (before, after) in enumerate(pairwise(widths)):
            x = self._silu(self._convolved(f"down.{level}", x, (after, before, 3, 3), 2))
            x = self._block(f"blocks.{level}", x, after)
            if level == len(widths) - 3:
                x = self._block("more", x, after)
            skips.append(x)
        flat = self._add("Flatten", [self._silu(self._convolved("gather", x, (hidden, widths[-1], 3, 3), 2))])
        inner = self._silu(self._linear("numbers.0", flat, hidden * 9, hidden))
        numbers = self._linear("numbers.2", inner, hidden, NUMBERS)
        for place, level in enumerate(range(len(widths) - 1, 0, -1)):
            x = self._add("Concat", [self._doubled(x, "nearest"), skips[level - 1]], axis=1)
            shape = (widths[level - 1], widths[level] + widths[level - 1], 3, 3)
            x = self._silu(self._convolved(f"up.{place}", x, shape))
        mask = self._add("Flatten", [self._convolved("mask", x, (1, widths[0], 3, 3))])
        told = self._add("Concat", [numbers, mask], axis=1)
        return self._serialised({"crop": (1, 3, SIDE, SIDE)}, told, (1, NUMBERS + MASK * MASK), "told")

    def _block(self, name: str, x: str, width: int) -> str:
        inner = self._silu(self._convolved(f"{name}.first", x, (width, width, 3, 3)))
        return self._add("Add", [x, self._convolved(f"{name}.second", inner, (width, width, 3, 3))])

    def _linear(self, name: str, x: str, size: int, out_size: int) -> str:
        weight, bias = (
            self._arrays.take(f"{name}.weight", (out_size, size)),
            self._arrays.take(f"{name}.bias", (out_size,)),
        )
        return self._add("Gemm", [x, self._constant(weight), self._constant(bias)], transB=1)
