"""MTCNN (Zhang et al. 2016): three networks, each looking closer at fewer windows; facenet-pytorch's weights.

The defaults are PeekingDuck's. The arithmetic is that of facenet-pytorch 2.5.3, `models/utils/detect_face.py`.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dp2.detect.checks import (
    by_size,
    check_fraction,
    check_images,
    check_relax,
    detection_errors,
    in_frame,
    origins,
    require_finite,
)
from dp2.errors import EngineError, UsageError, WeightsError
from dp2.geometry.nms import nms
from dp2.types import FACE, Detections, Image
from dp2.weights.packaged import checksum, packaged_file, read_weights

if TYPE_CHECKING:
    from dp2.detect.faces.mtcnn_cascade import Cascade

_FILES = ("pnet.pt", "rnet.pt", "onet.pt")
_BATCH_PIXELS = 8 * 1280 * 720


@dataclass(frozen=True, slots=True)
class _Loaded:
    cascade: Cascade
    digest: str
    device: str


class MTCNN:
    """Face detector with 5 landmarks: eyes, nose, corners of the mouth.

    The weights are loaded with the first frame. Instances may be called from several threads.

    Args:
        min_size: side of the smallest face looked for, in pixels; a frame with a shorter side than this has none.
        thresholds: least probability after the proposal, the refinement and the output network.
        score_threshold: faces below it are not reported, or as weak ones if the caller relaxes it.
        factor: from one size of the image pyramid to the next.
        device: "auto", "cpu", "cuda" or any other device of PyTorch.
        weights: folder with pnet.pt, rnet.pt and onet.pt; None = the one in the facenet-pytorch wheel.

    Raises:
        UsageError: a value is out of its range.
    """

    kinds = (FACE,)

    def __init__(
        self,
        *,
        min_size: int = 40,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        score_threshold: float = 0.7,
        factor: float = 0.709,
        device: str = "auto",
        weights: str | Path | None = None,
    ) -> None:
        if min_size < 12:
            raise UsageError(f"min_size must be at least 12, the window of the first network, not {min_size}")
        if len(thresholds) != 3:
            raise UsageError(f"thresholds must be three numbers, not {list(thresholds)}")
        if not 0 < factor < 1:
            raise UsageError(f"factor must lie between 0 and 1, not {factor}")
        for value in (*thresholds, score_threshold):
            check_fraction("a threshold", value)
        self.min_size = min_size
        self.thresholds = tuple(float(value) for value in thresholds)
        self.score_threshold = score_threshold
        self.factor = factor
        self._device = device
        self._weights = weights
        self._loading = threading.Lock()
        self._state: _Loaded | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`; loads the weights."""
        loaded = self._load()
        return {
            "detector": "MTCNN",
            "weights": loaded.digest,
            "min_size": self.min_size,
            "thresholds": list(self.thresholds),
            "score_threshold": self.score_threshold,
            "factor": self.factor,
            "device": loaded.device,
            "precision": "fp32",
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("MTCNN"):
            check_images(images)
            return [(faces,) for faces in by_size(images, lambda some: self._detect(some, relax), _BATCH_PIXELS)]

    def _load(self) -> _Loaded:
        with self._loading:
            if self._state is None:
                self._state = self._read()
            return self._state

    def _read(self) -> _Loaded:
        import torch

        from dp2.detect.faces.mtcnn_cascade import Cascade

        try:
            device = torch.device(_default_device() if self._device == "auto" else self._device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise EngineError(f"PyTorch has no device {self._device!r} on this machine: {reason}") from error
        data = [read_weights(self._path(name)) for name in _FILES]
        states = []
        for name, content in zip(_FILES, data, strict=True):
            try:
                states.append(torch.load(io.BytesIO(content), map_location=device, weights_only=True))
            except Exception as error:  # unpickling untrusted bytes raises almost anything
                raise WeightsError(f"{self._path(name)}: not a file of tensors: {error}") from error
        return _Loaded(Cascade.from_states(*states, device=device), checksum(b"".join(data)), str(device))

    def _path(self, name: str) -> Path:
        if self._weights is not None:
            return Path(self._weights, name)
        return packaged_file("facenet_pytorch", f"data/{name}", "pip install --no-deps facenet-pytorch==2.5.3")

    def _detect(self, images: Sequence[Image], relax: float) -> list[Detections]:
        """Frames of one size."""
        height, width = images[0].shape[:2]
        proposal, refinement, output = self.thresholds
        cascade = self._load().cascade
        found = cascade(np.stack(images), self.min_size, self.factor, (proposal, refinement, output * relax))
        # A face must pass both, the last network's threshold and the score
        threshold = max(output, self.score_threshold)
        results = []
        for boxes, scores, points in found:
            require_finite("MTCNN", boxes, scores, points)
            # The published suppression counts pixels inclusively
            rows = nms(boxes + np.array([0, 0, 1, 1], np.float32), scores, 0.7, over="smaller")
            rows = rows[scores[rows] >= np.float32(threshold * relax)]
            boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])  # a network's offsets may turn a tiny box inside out
            confidence = np.broadcast_to(scores[:, None, None], (len(scores), 5, 1))
            keypoints = np.concatenate([points, confidence], 2)
            origin = origins(scores, threshold)
            faces = Detections(FACE, boxes, scores.clip(0, 1), keypoints=keypoints, origin=origin)
            results.append(in_frame(faces[rows], height, width))
        return results


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
