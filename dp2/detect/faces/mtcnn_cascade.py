"""The cascade of MTCNN's networks over a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dp2.errors import DetectionError
from dp2.geometry.nms import nms
from dp2.types import Image

Floats = NDArray[np.float32]
Faces = tuple[Floats, Floats, Floats]

_WINDOW, _STRIDE = 12, 2  # of the proposal network
_CROPS = 512  # per forward, so that memory stays bounded
_MOST_EXACT = 2**31 // 255  # pixels whose sum fits into int32


class Net(Protocol):
    """One of the three networks; `dp2.inference.engine.Engine` is one."""

    def run(self, batch: Floats) -> list[Floats]:
        """(N, 3, H, W) in [-1, 1] to the outputs that `dp2.detect.faces.mtcnn_graph` names."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """boxes: (N, 4) float32; scores: (N,) float32."""

    boxes: Floats
    scores: Floats

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> _Candidates:
        return _Candidates(self.boxes[rows], self.scores[rows])


@dataclass(frozen=True, slots=True)
class Cascade:
    """Proposal, refinement and output network, ready to run."""

    pnet: Net
    rnet: Net
    onet: Net

    def __call__(self, image: Image, min_size: int, factor: float, thresholds: tuple[float, float, float]) -> Faces:
        """Faces before the last suppression.

        Args:
            image: (H, W, 3) uint8 RGB.
            min_size: side of the smallest face in pixels.
            factor: between the sizes of the pyramid.
            thresholds: one for each network.

        Returns:
            (N, 4) boxes, (N,) scores and (N, 5, 2) landmarks, float32, in pixels.

        Raises:
            DetectionError: a network's output is not finite.
            EngineError: a network failed.
        """
        sums = _integral(image)
        found = self._propose(sums, min_size, factor, thresholds[0])
        found = self._refine(sums, found, thresholds[1])
        found, points = self._finish(sums, found, thresholds[2])
        return found.boxes, found.scores, points

    def _propose(self, sums: NDArray[np.int32], min_size: int, factor: float, threshold: float) -> _Candidates:
        height, width = sums.shape[0] - 1, sums.shape[1] - 1
        boxes, scores, offsets = [_rows(4)], [_rows()], [_rows(4)]
        for scale in _pyramid(min(height, width), min_size, factor):
            pixels = _shrunk(sums, int(height * scale + 1), int(width * scale + 1))
            probability, offset = (output[0] for output in self.pnet.run(_normalised(pixels[None])))
            _require_finite(probability, offset)
            y, x = np.nonzero(probability >= np.float32(threshold))
            corner = np.stack([x, y], axis=1).astype(np.float32) * _STRIDE
            window = np.concatenate([np.floor((corner + 1) / scale), np.floor((corner + _WINDOW) / scale)], axis=1)
            score = probability[y, x]
            keep = nms(window, score, 0.5)
            boxes.append(window[keep].astype(np.float32))
            scores.append(score[keep])
            offsets.append(offset[:, y, x].T[keep])
        found = _Candidates(np.concatenate(boxes), np.concatenate(scores))
        keep = nms(found.boxes, found.scores, 0.7)
        found = found[keep]
        moved = found.boxes + np.concatenate(offsets)[keep] * _sides(found.boxes, 0)
        return _Candidates(_squared(moved), found.scores)

    def _refine(self, sums: NDArray[np.int32], found: _Candidates, threshold: float) -> _Candidates:
        found, crops = _cut(sums, found, 24)
        outputs = [self.rnet.run(_normalised(crop)) for crop in crops]
        if not outputs:
            return found
        scores, offsets = _joined(outputs)
        _require_finite(scores, offsets)
        passed = scores > np.float32(threshold)
        found, offsets = _Candidates(found.boxes[passed], scores[passed]), offsets[passed]
        keep = nms(found.boxes, found.scores, 0.7)
        found = found[keep]
        moved = found.boxes + offsets[keep] * _sides(found.boxes, 1)
        return _Candidates(_squared(moved), found.scores)

    def _finish(self, sums: NDArray[np.int32], found: _Candidates, threshold: float) -> tuple[_Candidates, Floats]:
        found, crops = _cut(sums, found, 48)
        outputs = [self.onet.run(_normalised(crop)) for crop in crops]
        if not outputs:
            return found, _rows(5, 2)
        scores, offsets, points = _joined(outputs)
        _require_finite(scores, offsets, points)
        passed = scores > np.float32(threshold)
        boxes, sides = found.boxes[passed], _sides(found.boxes[passed], 1)
        fractions = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1)  # [N, 5, 2]
        landmarks = fractions * sides[:, None, :2] + boxes[:, None, :2] - 1
        return _Candidates(boxes + offsets[passed] * sides, scores[passed]), landmarks


def _rows(*shape: int) -> Floats:
    return np.zeros((0, *shape), np.float32)


def _require_finite(*outputs: Floats) -> None:
    # NaN is below every threshold: it would look like a frame without faces
    if not all(np.isfinite(output).all() for output in outputs):
        raise DetectionError("MTCNN: the network's output is not finite")


def _joined(outputs: Sequence[Sequence[Floats]]) -> list[Floats]:
    """Each output over all crops."""
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


def _pyramid(shorter: int, min_size: int, factor: float) -> Iterator[float]:
    """Scales at which a face of `min_size`, then larger ones, fill the proposal network's window."""
    scale = _WINDOW / min_size
    length = shorter * scale
    while length >= _WINDOW:
        yield scale
        scale *= factor
        length *= factor


def _normalised(pixels: Floats) -> Floats:
    """(N, H, W, 3) in [0, 255] as (N, 3, H, W) in [-1, 1]."""
    return np.ascontiguousarray(((pixels - np.float32(127.5)) / np.float32(128)).transpose(0, 3, 1, 2))


def _sides(boxes: Floats, inclusive: int) -> Floats:
    """(N, 4): width, height, width, height; counting both end pixels where `inclusive` is 1."""
    sides: Floats = np.tile(boxes[:, 2:] - boxes[:, :2] + np.float32(inclusive), (1, 2))
    return sides


def _mean(total: NDArray[np.int32], pixels: NDArray[np.int64]) -> Floats:
    mean: Floats = np.divide(total, pixels[..., None], dtype=np.float32)
    return mean


def _squared(boxes: Floats) -> Floats:
    """Squares of the longer side about the same centres."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides * np.float32(0.5) - longer * np.float32(0.5)
    return np.concatenate([corner, corner + longer], axis=1)


def _integral(image: Image) -> NDArray[np.int32]:
    """(H + 1, W + 1, 3) sums of all pixels above and left. They may wrap around; differences stay exact."""
    import cv2

    height, width = image.shape[:2]
    if height * width <= _MOST_EXACT:
        return np.asarray(cv2.integral(image), np.int32)
    sums = np.zeros((height + 1, width + 1, 3), np.int32)
    sums[1:, 1:] = image
    np.cumsum(sums, axis=0, dtype=np.int32, out=sums)
    np.cumsum(sums, axis=1, dtype=np.int32, out=sums)
    return sums


def _shrunk(sums: NDArray[np.int32], height: int, width: int) -> Floats:
    """(height, width, 3): the whole frame, each cell the mean of the pixels that it touches."""
    low_y, high_y = _cells(np.zeros(1, np.int64), np.array([sums.shape[0] - 1]), height)
    low_x, high_x = _cells(np.zeros(1, np.int64), np.array([sums.shape[1] - 1]), width)
    rows = sums[high_y[0]] - sums[low_y[0]]
    total = rows[:, high_x[0]] - rows[:, low_x[0]]
    pixels = (high_y - low_y)[0][:, None] * (high_x - low_x)[0][None]
    return _mean(total, pixels)


def _cells(start: NDArray[np.int64], length: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], ...]:
    """(N, count) first and last + 1 pixel of each of `count` cells of N spans; neighbours may share a pixel."""
    cell = np.arange(count)
    low = start[:, None] + cell * length[:, None] // count
    high = start[:, None] + ((cell + 1) * length[:, None] + count - 1) // count
    return low, high


def _cut(sums: NDArray[np.int32], found: _Candidates, side: int) -> tuple[_Candidates, Iterator[Floats]]:
    """The candidates that touch their frame, and their (≤ 512, side, side, 3) crops, clipped to it."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    boxes = np.trunc(found.boxes).astype(np.int64)
    low = np.maximum(boxes[:, :2], 1) - 1
    high = np.minimum(boxes[:, 2:], [width, height])
    inside: NDArray[np.bool_] = np.asarray((high > low).all(axis=1), np.bool_)
    spans, found = np.concatenate([low, high], axis=1)[inside], found[inside]
    parts = (spans[i : i + _CROPS] for i in range(0, len(spans), _CROPS))
    return found, (_averages(sums, part, side) for part in parts)


def _averages(sums: NDArray[np.int32], spans: NDArray[np.int64], side: int) -> Floats:
    """(N, side, side, 3): each cell the mean of its pixels, as area interpolation of each crop gives."""
    low_x, high_x = _cells(spans[:, 0], spans[:, 2] - spans[:, 0], side)
    low_y, high_y = _cells(spans[:, 1], spans[:, 3] - spans[:, 1], side)

    def corner(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int32]:
        return sums[y[:, :, None], x[:, None, :]]  # [N, side, side, 3]

    total = corner(high_x, high_y) - corner(low_x, high_y) - corner(high_x, low_y) + corner(low_x, low_y)
    pixels = (high_y - low_y)[:, :, None] * (high_x - low_x)[:, None, :]
    return _mean(total, pixels)
