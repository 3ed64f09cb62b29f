"""Whether generated faces are found as faces, and whether they are still the same person."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dp2.faces.embedding import FaceEmbedder
from dp2.metrics.metric import Result, Run, View
from dp2.stages import Detector
from dp2.types import Detections, Image


@dataclass(frozen=True, eq=False)
class _Found:
    """The object in a hole: its box (4,), and five landmarks (5, 2) or NaN."""

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]


class DetectionRate:
    """Share of holes in which a detector finds something, beside the share for the originals.

    Args:
        detector: preferably not the one that found the training data.
    """

    draws = 1

    def __init__(self, *, detector: Detector) -> None:
        self._detector = detector
        self._real: list[bool] = []
        self._fake: list[bool] = []

    def start(self, run: Run) -> None:  # noqa: ARG002  (see `Metric`)
        """See `dp2.metrics.metric.Metric`."""
        self._real, self._fake = [], []

    def update(self, view: View) -> None:
        """See `dp2.metrics.metric.Metric`."""
        for seen, images in ((self._real, view.batch.image), (self._fake, view.fakes[0])):
            seen += [found is not None for found in _in_holes(self._detector, images, view.batch.mask)]

    def results(self) -> list[Result]:
        """See `dp2.metrics.metric.Metric`."""
        net = str(self._detector.settings.get("detector", ""))
        return [
            Result("detection rate", _share(self._fake), "higher", net, len(self._fake)),
            Result("detection rate of the originals", _share(self._real), "", net, len(self._real)),
        ]


class IdentityDistance:
    """Cosine distance between the embeddings of original and generated face, 0 = the same, about 1 = strangers.

    Beside it, for comparison, the distance between originals of neighbouring samples: of different people, if the data
    shows each once. A generated face that is not found is looked at where the original was.

    Args:
        detector: finds faces, with five landmarks if it can.
        embedder: tells people apart.
    """

    draws = 1

    def __init__(self, *, detector: Detector, embedder: FaceEmbedder) -> None:
        self._detector = detector
        self._embedder = embedder
        self._alike: list[float] = []
        self._strangers: list[float] = []
        self._missed = 0

    def start(self, run: Run) -> None:  # noqa: ARG002
        """See `dp2.metrics.metric.Metric`."""
        self._alike, self._strangers, self._missed = [], [], 0

    def update(self, view: View) -> None:
        """See `dp2.metrics.metric.Metric`."""
        real = _in_holes(self._detector, view.batch.image, view.batch.mask)
        fake = _in_holes(self._detector, view.fakes[0], view.batch.mask)
        rows = [row for row, found in enumerate(real) if found is not None]
        self._missed += len(real) - len(rows)
        before = self._embed(view.batch.image, rows, [real[row] for row in rows])
        after = self._embed(view.fakes[0], rows, [fake[row] or real[row] for row in rows])
        self._alike += (before * after).sum(axis=1).tolist()
        self._strangers += (before[1:] * before[:-1]).sum(axis=1).tolist()

    def results(self) -> list[Result]:
        """See `dp2.metrics.metric.Metric`."""
        net, count = self._embedder.name, len(self._alike)
        note = f"{self._missed} originals left out: no face was found in them" if self._missed else ""
        same = [value > self._embedder.same_person for value in self._alike]
        limit = f"cosine similarity above {self._embedder.same_person:g}"
        return [
            Result("identity distance", 1 - _mean(self._alike), "higher", net, count, note),
            Result("identity distance of strangers", 1 - _mean(self._strangers), "", net, len(self._strangers)),
            Result("still the same person", _share(same), "lower", net, count, limit),
        ]

    def _embed(self, images: Tensor, rows: list[int], found: list[_Found | None]) -> NDArray[np.float32]:
        places = [place for place in found if place is not None]
        if not places:
            return np.zeros((0, self._embedder.channels), np.float32)
        boxes = np.stack([place.box for place in places])
        landmarks = np.stack([place.landmarks for place in places])
        return self._embedder([_picture(images[row]) for row in rows], boxes, landmarks)


def _in_holes(detector: Detector, images: Tensor, mask: Tensor) -> list[_Found | None]:
    """What the detector finds in each picture's hole: of all kinds, the surest whose centre lies in the hole's box."""
    found = detector([_picture(image) for image in images])
    return [_surest(detections, keep[0].numpy()) for detections, keep in zip(found, mask, strict=True)]


def _surest(detections: tuple[Detections, ...], keep: NDArray[np.bool_]) -> _Found | None:
    rows, columns = np.nonzero(~keep)
    if len(rows) == 0:
        return None
    low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
    best, score = None, -1.0
    for some in (each.confirmed for each in detections):
        centres = (some.boxes[:, :2] + some.boxes[:, 2:]) / 2
        inside = ((centres >= low) & (centres <= high)).all(axis=1)
        for row in np.nonzero(inside & (some.scores > score))[0]:
            if some.scores[row] > score:
                best, score = _Found(some.boxes[row], _landmarks(some, int(row))), float(some.scores[row])
    return best


def _landmarks(detections: Detections, row: int) -> NDArray[np.float32]:
    points = detections.keypoints
    if points is None or points.shape[1] != 5:
        return np.full((5, 2), np.nan, np.float32)
    return points[row, :, :2]


def _picture(image: Tensor) -> Image:
    pixels: Image = image.permute(1, 2, 0).contiguous().numpy()
    return pixels


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _share(values: list[bool]) -> float:
    return float(np.mean(values)) if values else math.nan
