"""dp2's own face generator on the processor, without torch: importing that takes longer than painting twenty faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import CheckpointMismatch, UsageError
from dp2.inference.device import has_bf16_units
from dp2.inference.engine import load_engine
from dp2.inference.network import Engine, Network
from dp2.synthesize.backend import Painted
from dp2.synthesize.crops import Crop
from dp2.synthesize.portrait.graph import portrait_onnx
from dp2.weights.readers import load_arrays
from dp2.weights.tables import CheckpointArrays, generator_table

_Floats = NDArray[np.float32]

_SLOPE = 0.2
_LANDMARK_SIGMA = 0.025  # of the side
_LANDMARKS = ((0, 1), (2,), (3, 4))  # eyes, nose, corners of the mouth: one map each
_REACH = 3  # pixels: of the filters that tell sharpness


class PortraitBackend:
    """A `Backend`.

    Args:
        checkpoint: as training exports it.
        amp: with engine "auto", multiply in bfloat16; None = where the CPU does so in hardware.
        engine: one of `dp2.inference.engine.ENGINES`.
        widths, z_channels, w_channels: as of `dp2.models.portrait.unet.PortraitUnet`.

    Raises:
        MissingWeights, UnsafeCheckpoint, UnreadableCheckpoint: as `dp2.weights.readers.load_arrays`.
        CheckpointMismatch: it is another network's.
        EngineError: no engine loads it.
    """

    conditions = ("keypoints", "tone")
    out_of_memory: tuple[type[BaseException], ...] = (MemoryError,)

    def __init__(
        self,
        checkpoint: Path,
        *,
        widths: Sequence[int],
        amp: bool | None = None,
        engine: str = "auto",
        z_channels: int = 64,
        w_channels: int = 192,
    ) -> None:
        table, centers = generator_table(load_arrays(checkpoint), np.ndarray, str(checkpoint))
        if centers is not None and centers.shape[1] != w_channels:
            raise CheckpointMismatch(
                f"{checkpoint}: w_centers has the shape {centers.shape}; expected (M, {w_channels})."
            )
        arrays = CheckpointArrays(table, str(checkpoint), "dp2's face generator")
        side = 4 << (len(widths) - 1)
        self.resolution = (side, side)
        self.z_channels = z_channels
        self._style = _Style(arrays, centers, z_channels, w_channels)
        model = portrait_onnx(arrays, widths=widths, w_channels=w_channels)
        bf16 = has_bf16_units() if amp is None else amp
        self._engine = load_engine(Network(model, exact=not bf16), engine=engine, device="cpu")

    def styles(self, z: _Floats, truncation: float, centers: NDArray[np.int64] | None) -> _Floats:
        """As in `Backend`."""
        return self._style(z, truncation, centers)

    def paint(self, crops: Sequence[Crop], styles: _Floats) -> Painted:
        """As in `Backend`. One after the other: each result is the same in every batch."""
        return [_painted(self._engine, crop, style) for crop, style in zip(crops, styles, strict=True)]

    def free(self) -> None:
        """As in `Backend`; the engine holds no cache."""


def _painted(engine: Engine, crop: Crop, style: _Floats) -> _Floats:
    """(S, S, 3) float32 in [0, 255]."""
    keep = crop.keep.astype(np.float32)[..., None]
    known = (crop.image.astype(np.float32) - 127.5) / 127.5 * keep
    seen = seen_by_generator(known, keep, crop.conditions["keypoints"], crop.conditions["tone"])
    image = engine.run_named({"seen": seen, "w": style[None]})[0][0].transpose(1, 2, 0)
    image = known + image * (1 - keep)
    pixels: _Floats = np.where(np.isfinite(image), ((image + 1) / 2).clip(0, 1) * 255, np.nan).astype(np.float32)
    return pixels


def seen_by_generator(known: _Floats, keep: _Floats, keypoints: _Floats, tone: _Floats) -> _Floats:
    """(1, 8, S, S): the hole filled with its tone, the hole, landmarks, sharpness of the surroundings.

    Args:
        known: (S, S, 3) in [-1, 1], 0 in the hole.
        keep: (S, S, 1), 1 = kept.
        keypoints: (5, ≥2) fractions.
        tone: (3,) in [-1, 1].
    """
    hole = 1 - keep
    maps = _landmark_maps(keypoints, len(keep))
    sharp = np.full_like(keep, _sharpness(known, keep[..., 0]))
    seen = np.concatenate([known + tone * hole, hole, maps, sharp], axis=2)
    return np.ascontiguousarray(seen.transpose(2, 0, 1)[None])


def _landmark_maps(keypoints: _Floats, side: int) -> _Floats:
    """(S, S, 3): eyes, nose, mouth; see `dp2.models.portrait.unet.landmark_maps`."""
    centres = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    near = np.exp(-((centres - keypoints[:, :2, None]) ** 2) / np.float32(2 * _LANDMARK_SIGMA**2))  # [5, 2, S]
    spots = near[:, 1, :, None] * near[:, 0, None, :]  # [5, S, S]
    maps: _Floats = np.stack([spots[list(group)].max(axis=0) for group in _LANDMARKS], axis=-1)
    return maps


def _sharpness(known: _Floats, keep: _Floats) -> float:
    """See `dp2.models.portrait.unet.sharpness`."""
    grey = known.mean(axis=2, dtype=np.float32)
    window = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    certain = cv2.erode(keep, window, borderType=cv2.BORDER_CONSTANT, borderValue=1.0)
    fine, middle = _mean(grey, 3), _mean(_mean(grey, 3), 5)
    weight = float(certain.sum()) + 1e-3
    finest = float((np.abs(grey - fine) * certain).sum()) / weight
    coarser = float((np.abs(fine - middle) * certain).sum()) / weight
    return float(np.clip(np.log((finest + 2e-3) / (coarser + 2e-3)), -2, 1) + 0.5)


def _mean(grey: _Floats, window: int) -> _Floats:
    """Of each pixel's neighbours in the picture."""
    sums, count = (
        cv2.boxFilter(of, cv2.CV_32F, (window, window), normalize=False, borderType=cv2.BORDER_CONSTANT)
        for of in (grey, np.ones_like(grey))
    )
    mean: _Floats = sums / count
    return mean


class _Style:
    """The mapping network, the average style and the centres of styles; they take their arrays."""

    def __init__(
        self, arrays: CheckpointArrays, centers: NDArray[Any] | None, z_channels: int, w_channels: int
    ) -> None:
        def take(name: str, *shape: int) -> _Floats:
            return arrays.take(name, shape).astype(np.float32)

        sizes = (z_channels, w_channels, w_channels)
        self._layers = [
            (take(f"mapping.{2 * i}.weight", w_channels, size), take(f"mapping.{2 * i}.bias", w_channels))
            for i, size in enumerate(sizes)
        ]
        self._average = take("w_avg", w_channels)
        self._centers = None if centers is None or not len(centers) else centers.astype(np.float32)

    def __call__(self, z: _Floats, truncation: float, centers: NDArray[np.int64] | None) -> _Floats:
        """(N, z_channels) to (N, w_channels)."""
        w = np.stack([self._mapped(row) for row in z])  # row by row: a batch's products are rounded otherwise
        middle = self._average
        if centers is not None:
            if self._centers is None:
                raise UsageError("this checkpoint holds no w_centers, which multi-modal truncation needs")
            middle = self._centers[centers % len(self._centers)]
        styles: _Floats = middle + np.float32(truncation) * (w - middle)
        return styles

    def _mapped(self, row: _Floats) -> _Floats:
        for number, (weight, bias) in enumerate(self._layers):
            row = weight @ row + bias
            if number < len(self._layers) - 1:
                row = np.where(row > 0, row, np.float32(_SLOPE) * row)
        return row
