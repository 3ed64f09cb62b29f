"""MobileFaceNet as an ONNX graph, built from its checkpoint and run without torch.

Importing torch takes 2 s of processor time and 300 MB, and its convolutions of 112×96 pixels three times as long as an
inference engine's. The network is that of `dp2.models.faces.mobile_facenet`, batch normalisation folded in.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dp2.errors import DetectionError, EngineError, one_line
from dp2.inference.engine import load_engine
from dp2.inference.network import Engine, Network
from dp2.inference.onnx_nodes import CheckpointNodes
from dp2.types import Image
from dp2.weights.readers import load_arrays
from dp2.weights.tables import CheckpointArrays, network_table

_EPSILON = 1e-5  # of torch's BatchNorm2d
_SIZE = (112, 96)
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, blocks, stride of the first; as in `dp2.models.faces.mobile_facenet`."""

Array = NDArray[np.float32]


class FaceGraph:
    """The network, read when it is first needed, by whichever thread. One thread computes: it is too small for more.

    Args:
        path: the checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def __call__(self, faces: Sequence[Image]) -> Array:
        """Embed faces; each and its mirror image are averaged.

        Args:
            faces: (112, 96, 3) uint8 RGB each, aligned.

        Returns:
            (N, 128) float32 of length 1.

        Raises:
            CheckpointMismatch: the checkpoint is another network's.
            DetectionError: the network failed.
        """
        with self._lock:
            if self._engine is None:
                network = Network(to_onnx(self._path), threads=1, exact=True)
                self._engine = load_engine(network, device="cpu")
            try:
                sums = [self._engine.run_named({"faces": _pair(face)})[0].sum(axis=0) for face in faces]
            except EngineError as error:
                raise DetectionError(f"the face embedding failed: {one_line(error, 200)}") from error
        vectors: Array = np.stack(sums)
        if not np.isfinite(vectors).all():
            raise DetectionError("the face embedding's values are not finite")
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


def _pair(face: Image) -> Array:
    """(2, 3, H, W) in [-1, 1]: a face and its mirror image."""
    plain = ((face.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)
    return np.stack([plain, plain[:, :, ::-1]])


def to_onnx(path: Path) -> bytes:
    """A serialised model: "faces" (2, 3, 112, 96) float32 RGB in [-1, 1] to "vectors" (2, 128) of length 1.

    Args:
        path: of a torch or safetensors file in the layout of Xiaoccer/MobileFaceNet_Pytorch.

    Raises:
        WeightsError: it is missing, unsafe, damaged, or another network's.
    """
    arrays = network_table(load_arrays(path), np.ndarray, str(path))
    return _Graph(CheckpointArrays(arrays, str(path), "MobileFaceNet")).model()


class _Graph(CheckpointNodes):
    """The nodes made so far."""

    def model(self) -> bytes:
        name = self._block("conv1", "faces", (64, 3, 3, 3), stride=2)
        name = self._block("dw_conv1", name, (64, 1, 3, 3), groups=64)
        number, channels = 0, 64
        for expansion, out_channels, count, stride in _STAGES:
            for place in range(count):
                name = self._bottleneck(f"blocks.{number}", name, channels, out_channels, expansion, stride, place)
                number, channels = number + 1, out_channels
        name = self._block("conv2", name, (512, channels, 1, 1))
        name = self._block("linear7", name, (512, 1, 7, 6), groups=512, act=False)
        name = self._block("linear1", name, (128, 512, 1, 1), act=False)
        name = self._add("LpNormalization", [self._add("Flatten", [name])], p=2, axis=1)
        return self._serialised({"faces": (2, 3, *_SIZE)}, name, (2, 128), "vectors")

    def _block(
        self,
        name: str,
        source: str,
        shape: tuple[int, ...],
        *,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> str:
        made = self._convolved((f"{name}.conv", f"{name}.bn"), source, shape, stride, groups)
        return self._activated(f"{name}.prelu", made, shape[0]) if act else made

    def _bottleneck(
        self, name: str, source: str, channels: int, out_channels: int, expansion: int, stride: int, place: int
    ) -> str:
        """The `place`-th block of its stage."""
        wide, step = channels * expansion, stride if place == 0 else 1
        part = f"{name}.conv".__add__
        made = self._convolved((part(".0"), part(".1")), source, (wide, channels, 1, 1), 1, 1)
        made = self._activated(part(".2"), made, wide)
        made = self._convolved((part(".3"), part(".4")), made, (wide, 1, 3, 3), step, wide)
        made = self._activated(part(".5"), made, wide)
        made = self._convolved((part(".6"), part(".7")), made, (out_channels, wide, 1, 1), 1, 1)
        return self._add("Add", [source, made]) if step == 1 and channels == out_channels else made

    def _convolved(self, names: tuple[str, str], source: str, shape: tuple[int, ...], stride: int, groups: int) -> str:
        """A convolution and the batch normalisation behind it, as one."""
        conv, norm = names
        count = (shape[0],)
        kernel = self._arrays.take(f"{conv}.weight", shape)
        scale, shift, mean, variance = (
            self._arrays.take(f"{norm}.{what}", count) for what in ("weight", "bias", "running_mean", "running_var")
        )
        self._arrays.take(f"{norm}.num_batches_tracked", ())
        factor = scale / np.sqrt(variance + _EPSILON)
        inputs = [source, self._constant(kernel * factor[:, None, None, None]), self._constant(shift - mean * factor)]
        pads = [shape[2] // 2, shape[3] // 2] * 2 if shape[2] == shape[3] else [0] * 4
        return self._add("Conv", inputs, group=groups, strides=[stride] * 2, pads=pads)

    def _activated(self, name: str, source: str, channels: int) -> str:
        slope = self._arrays.take(f"{name}.weight", (channels,))
        return self._add("PRelu", [source, self._constant(slope[:, None, None])])
