"""The cascade of MTCNN's networks over a batch of frames of one size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torchvision.ops import batched_nms

from dp2.errors import CheckpointMismatch, DetectionError
from dp2.models.faces.mtcnn import ONet, PNet, RNet

Faces = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

_WINDOW, _STRIDE = 12, 2  # of the proposal network
_CROPS = 512  # per forward, so that memory stays bounded

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """boxes: (N, 4) float32; scores: (N,); owner: (N,) int64, which frame of the batch."""

    boxes: Tensor
    scores: Tensor
    owner: Tensor

    def __getitem__(self, rows: Tensor) -> _Candidates:
        return _Candidates(self.boxes[rows], self.scores[rows], self.owner[rows])


class Cascade:
    """Proposal, refinement and output network, ready on one device."""

    def __init__(self, pnet: PNet, rnet: RNet, onet: ONet, device: torch.device) -> None:
        self._pnet, self._rnet, self._onet, self._device = pnet, rnet, onet, device

    @classmethod
    def from_states(
        cls, pnet: Mapping[str, Any], rnet: Mapping[str, Any], onet: Mapping[str, Any], *, device: torch.device
    ) -> Cascade:
        """Build the networks from their state dicts.

        Raises:
            CheckpointMismatch: the keys or shapes are not MTCNN's.
        """
        nets = _filled(PNet(), pnet), _filled(RNet(), rnet), _filled(ONet(), onet)
        return cls(nets[0].to(device), nets[1].to(device), nets[2].to(device), device)

    @torch.inference_mode()
    def __call__(
        self, images: NDArray[np.uint8], min_size: int, factor: float, thresholds: tuple[float, float, float]
    ) -> list[Faces]:
        """Faces before the last suppression.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            min_size: side of the smallest face in pixels.
            factor: between the sizes of the pyramid.
            thresholds: one for each network.

        Returns:
            for every frame (N, 4) boxes, (N,) scores and (N, 5, 2) landmarks, float32, in pixels.

        Raises:
            DetectionError: a network's output is not finite.
        """
        frames = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)  # [B, 3, H, W] uint8
        found = self._propose(frames, min_size, factor, thresholds[0])
        sums = _integral(frames)
        found = self._refine(sums, found, thresholds[1])
        found, points = self._finish(sums, found, thresholds[2])
        per_frame = []
        for index in range(len(images)):
            mine = found.owner == index
            arrays = (found.boxes[mine], found.scores[mine], points[mine])
            boxes, scores, landmarks = (array.cpu().numpy() for array in arrays)
            per_frame.append((boxes, scores, landmarks))
        return per_frame

    def _propose(self, frames: Tensor, min_size: int, factor: float, threshold: float) -> _Candidates:
        empty = torch.empty(0, device=self._device)
        boxes, scores, owners, offsets = [empty.view(0, 4)], [empty], [empty.long()], [empty.view(0, 4)]
        values = frames.float()
        for scale in _pyramid(min(frames.shape[2:]), min_size, factor):
            size = [int(length * scale + 1) for length in frames.shape[2:]]
            probability, offset = self._pnet(_normalised(interpolate(values, size=size, mode="area")))
            _require_finite(probability)
            owner, y, x = (probability >= threshold).nonzero(as_tuple=True)
            corner = torch.stack([x, y], 1).float() * _STRIDE
            window = torch.cat([((corner + 1) / scale).floor(), ((corner + _WINDOW) / scale).floor()], 1)
            score = probability[owner, y, x]
            keep = batched_nms(window, score, owner, 0.5)
            boxes.append(window[keep])
            scores.append(score[keep])
            owners.append(owner[keep])
            offsets.append(offset.permute(0, 2, 3, 1)[owner, y, x][keep])
        found = _Candidates(torch.cat(boxes), torch.cat(scores), torch.cat(owners))
        keep = batched_nms(found.boxes, found.scores, found.owner, 0.7)
        found = found[keep]
        moved = found.boxes + torch.cat(offsets)[keep] * _sides(found.boxes, 0)
        return _Candidates(_squared(moved), found.scores, found.owner)

    def _refine(self, sums: Tensor, found: _Candidates, threshold: float) -> _Candidates:
        found, crops = _cut(sums, found, 24)
        outputs = [self._rnet(_normalised(crop)) for crop in crops]
        if not outputs:
            return found
        scores, offsets = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        _require_finite(scores)
        passed = scores > threshold
        found, offsets = _Candidates(found.boxes[passed], scores[passed], found.owner[passed]), offsets[passed]
        keep = batched_nms(found.boxes, found.scores, found.owner, 0.7)
        found = found[keep]
        moved = found.boxes + offsets[keep] * _sides(found.boxes, 1)
        return _Candidates(_squared(moved), found.scores, found.owner)

    def _finish(self, sums: Tensor, found: _Candidates, threshold: float) -> tuple[_Candidates, Tensor]:
        found, crops = _cut(sums, found, 48)
        outputs = [self._onet(_normalised(crop)) for crop in crops]
        if not outputs:
            return found, found.boxes.new_zeros(0, 5, 2)
        scores, offsets, points = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        _require_finite(scores)
        passed = scores > threshold
        boxes, sides = found.boxes[passed], _sides(found.boxes[passed], 1)
        landmarks = points[passed].transpose(1, 2) * sides[:, None, :2] + boxes[:, None, :2] - 1  # [N, 5, 2]
        return _Candidates(boxes + offsets[passed] * sides, scores[passed], found.owner[passed]), landmarks


def _filled(net: Net, state: Mapping[str, Any]) -> Net:
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointMismatch(f"not the weights of MTCNN's {type(net).__name__}: {error}") from error
    return net.eval().requires_grad_(False)


def _require_finite(probabilities: Tensor) -> None:
    # NaN is below every threshold: it would look like a frame without faces
    if not probabilities.isfinite().all():
        raise DetectionError("MTCNN: the network's output is not finite")


def _pyramid(shorter: int, min_size: int, factor: float) -> Iterator[float]:
    """Scales at which a face of `min_size`, then larger ones, fill the proposal network's window."""
    scale = _WINDOW / min_size
    length = shorter * scale
    while length >= _WINDOW:
        yield scale
        scale *= factor
        length *= factor


def _normalised(pixels: Tensor) -> Tensor:
    return (pixels - 127.5) / 128


def _sides(boxes: Tensor, inclusive: int) -> Tensor:
    """(N, 4): width, height, width, height; counting both end pixels where `inclusive` is 1."""
    return (boxes[:, 2:] - boxes[:, :2] + inclusive).repeat(1, 2)


def _squared(boxes: Tensor) -> Tensor:
    """Squares of the longer side about the same centres."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.amax(1, keepdim=True)
    corner = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return torch.cat([corner, corner + longer], 1)


def _integral(frames: Tensor) -> Tensor:
    """(B, H + 1, W + 1, 3) int32 sums of all pixels above and left. They may wrap around; differences stay exact."""
    sums = frames.cumsum(2, dtype=torch.int32).cumsum(3, dtype=torch.int32)
    return pad(sums, (1, 0, 1, 0)).permute(0, 2, 3, 1)


def _cut(sums: Tensor, found: _Candidates, side: int) -> tuple[_Candidates, Iterator[Tensor]]:
    """The candidates that touch their frame, and their (≤ 512, 3, side, side) crops, clipped to it."""
    height, width = sums.shape[1] - 1, sums.shape[2] - 1
    boxes = found.boxes.trunc().long()
    x0, y0 = boxes[:, 0].clamp(min=1) - 1, boxes[:, 1].clamp(min=1) - 1
    x1, y1 = boxes[:, 2].clamp(max=width), boxes[:, 3].clamp(max=height)
    inside = (x1 > x0) & (y1 > y0)
    spans = torch.stack([x0, y0, x1, y1], 1)[inside]
    found = found[inside]
    starts = range(0, len(spans), _CROPS)
    parts = ((spans[i : i + _CROPS], found.owner[i : i + _CROPS]) for i in starts)
    return found, (_averages(sums, span, owner, side) for span, owner in parts)


def _averages(sums: Tensor, spans: Tensor, owner: Tensor, side: int) -> Tensor:
    """(N, 3, side, side) float32: each cell the mean of its pixels, as area interpolation of each crop gives."""
    cell = torch.arange(side, device=spans.device)
    low, high = [], []
    for axis in (0, 1):
        start, length = spans[:, axis, None], (spans[:, axis + 2] - spans[:, axis])[:, None]
        low.append(start + cell * length // side)
        high.append(start + ((cell + 1) * length + side - 1) // side)
    frame = owner[:, None, None]

    def corner(x: Tensor, y: Tensor) -> Tensor:
        return sums[frame, y[:, :, None], x[:, None, :]]  # [N, side, side, 3]

    total = corner(high[0], high[1]) - corner(low[0], high[1]) - corner(high[0], low[1]) + corner(low[0], low[1])
    pixels = (high[1] - low[1])[:, :, None] * (high[0] - low[0])[:, None, :]
    return (total.float() / pixels[..., None]).permute(0, 3, 1, 2).contiguous()
