"""MTCNN (Zhang et al. 2016): three networks, each looking closer at fewer windows; facenet-pytorch's weights.

The defaults are PeekingDuck's. The arithmetic is that of facenet-pytorch 2.5.3, `models/utils/detect_face.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from dp2.detect.faces.mtcnn_cascade import Cascade
from dp2.errors import EngineError, UsageError
from dp2.geometry.nms import nms
from dp2.inference.engine import check_names, load_engine
from dp2.inference.network import Chosen, Network
from dp2.types import FACE, Detections, Image
from dp2.weights.packaged import checksum, read_weights, shipped_file

_NETWORKS = ("pnet", "rnet", "onet")
_LARGEST_FACTOR = 0.99  # nearer to 1 a frame is searched in thousands of sizes
_THREADS = 1  # for networks of so few operations a second thread gains nothing
_BATCH_PIXELS = 8 * 1280 * 720


@dataclass(frozen=True, slots=True)
class _Loaded:
    cascade: Cascade
    digest: str
    chosen: Chosen


class MTCNN:
    """Face detector with 5 landmarks: eyes, nose, corners of the mouth.

    The weights are loaded with the first frame. Instances may be called from several threads.

    Args:
        min_size: side of the smallest face looked for, in pixels; a frame with a shorter side than this has none.
        thresholds: least probability after the proposal, the refinement and the output network.
        score_threshold: faces below it are not reported, or as weak ones if the caller relaxes it.
        factor: from one size of the image pyramid to the next.
        device: one of `dp2.inference.engine.DEVICES` or an ONNX Runtime execution provider.
        weights: folder with pnet, rnet and onet as .safetensors or as facenet-pytorch's .pt; None = those shipped.
        engine: one of `dp2.inference.engine.ENGINES`.

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
        engine: str = "auto",
    ) -> None:
        if min_size < 12:
            raise UsageError(f"min_size must be at least 12, the window of the first network, not {min_size}")
        if len(thresholds) != 3:
            raise UsageError(f"thresholds must be three numbers, not {list(thresholds)}")
        if not 0 < factor <= _LARGEST_FACTOR:
            raise UsageError(f"factor must lie between 0 and {_LARGEST_FACTOR}, not {factor}")
        for value in (*thresholds, score_threshold):
            check_fraction("a threshold", value)
        self.min_size = min_size
        self.thresholds = tuple(float(value) for value in thresholds)
        self.score_threshold = score_threshold
        self.factor = factor
        self._device = device
        self._weights = weights
        self._engine = engine
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
            "engine": loaded.chosen.engine,
            "device": loaded.chosen.device,
            "precision": loaded.chosen.precision,
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
        from dp2.detect.faces.mtcnn_graph import GRAPHS, OUTPUTS
        from dp2.weights.readers import load_arrays

        try:
            check_names(self._engine, self._device)
        except UsageError as error:
            raise EngineError(str(error)) from error
        paths = {name: self._path(name) for name in _NETWORKS}
        digest = checksum(b"".join(read_weights(path) for path in paths.values()))
        models = {name: GRAPHS[name](load_arrays(path), str(path)) for name, path in paths.items()}
        pnet, rnet, onet = (
            load_engine(
                Network(model, OUTPUTS[name], exact=True, together=True, threads=_THREADS),
                engine=self._engine,
                device=self._device,
            )
            for name, model in models.items()
        )
        return _Loaded(Cascade(pnet, rnet, onet), digest, pnet.chosen)

    def _path(self, name: str) -> Path:
        if self._weights is None:
            return shipped_file(f"mtcnn_{name}.safetensors")
        converted = Path(self._weights, f"{name}.safetensors")
        return converted if converted.is_file() else converted.with_suffix(".pt")

    def _detect(self, images: Sequence[Image], relax: float) -> list[Detections]:
        """Frames of one size."""
        height, width = images[0].shape[:2]
        proposal, refinement, output = self.thresholds
        cascade = self._load().cascade
        thresholds = proposal, refinement, output * relax
        found = (cascade(image, self.min_size, self.factor, thresholds) for image in images)
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
