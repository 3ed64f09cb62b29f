"""YuNet (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector"): small, fast, with five landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from dp2.detect.combine.scale import Scale, network_size, parse_scale
from dp2.errors import DetectionError, EngineError, WeightsError
from dp2.geometry.nms import suppress
from dp2.inference.lazy_engine import LazyEngine
from dp2.inference.network import Network
from dp2.types import FACE, Detections, Image
from dp2.weights.store import Store

_STRIDES = (8, 16, 32)
_STEP = _STRIDES[-1]
_OUTPUTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}  # → columns; each once a stride: cls_8, …
_NAMES = tuple(f"{part}_{stride}" for part in _OUTPUTS for stride in _STRIDES)
_BATCH_PIXELS = 8 * 1280 * 736


class YuNet:
    """Face detector with 5 landmarks: eyes, nose, corners of the mouth.

    The file is looked for when the detector is built and loaded with the first frame. Instances may be called from
    several threads. Faces larger than about 300 pixels want smaller passes: see `dp2.detect.combine.multiscale`.

    Args:
        score_threshold: faces below it are not reported, or as weak ones if the caller relaxes it.
            Faces that the edge of the frame cuts in half score 0.22 and more.
        nms_iou: largest overlap of two faces.
        scale: at which size the network sees frames: "auto" (their own, within memory), a factor, "WxH" or (w, h).
            Sides are filled up to multiples of 32.
        engine: one of `dp2.inference.engine.ENGINES`.
        device: one of `dp2.inference.engine.DEVICES` or an ONNX Runtime execution provider.
        weights: name in the registry, or an ONNX file with free axes published by libfacedetection.train.

    Raises:
        UsageError: a value is out of its range.
        MissingWeights: the file is not on this machine.
    """

    kinds = (FACE,)

    def __init__(
        self,
        *,
        score_threshold: float = 0.2,
        nms_iou: float = 0.3,
        scale: Scale = "auto",
        engine: str = "auto",
        device: str = "auto",
        weights: str = "yunet",
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        check_fraction("nms_iou", nms_iou)
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.scale = parse_scale(scale)
        path = Store().path(weights)
        self._engine = LazyEngine(lambda: path, _network, engine=engine, device=device)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`; loads the weights."""
        return {
            "detector": "YuNet",
            "score_threshold": self.score_threshold,
            "nms_iou": self.nms_iou,
            "scale": list(self.scale) if isinstance(self.scale, tuple) else self.scale,
            **self._engine.settings,
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("YuNet"):
            check_images(images)
            return [(faces,) for faces in by_size(images, lambda some: self._detect(some, relax), _BATCH_PIXELS)]

    def _detect(self, images: Sequence[Image], relax: float) -> list[Detections]:
        """Frames of one size."""
        height, width = images[0].shape[:2]
        inner = network_size(self.scale, (width, height), 1)
        batch = np.stack([_shown(image, inner) for image in images])
        try:
            outputs = dict(zip(_NAMES, self._engine.get().run(batch), strict=True))
        except EngineError as error:
            raise DetectionError(f"YuNet failed: {error}") from error
        rows = np.concatenate(
            [np.concatenate([outputs[f"{part}_{s}"] for s in _STRIDES], axis=1) for part in _OUTPUTS], axis=2
        )  # [N, A, 16]
        require_finite("YuNet", rows)
        stretch = np.array([width / inner[0], height / inner[1]], np.float32)
        found = (self._faces(answer, batch.shape[2:0:-1], stretch, relax) for answer in rows)
        return [in_frame(suppress(faces, self.nms_iou), height, width) for faces in found]

    def _faces(
        self, rows: NDArray[np.float32], size: tuple[int, ...], stretch: NDArray[np.float32], relax: float
    ) -> Detections:
        """Faces of one frame before suppression, in its pixels; `rows` are (A, 16)."""
        scores = np.sqrt(rows[:, 0].clip(0, 1) * rows[:, 1].clip(0, 1))
        kept = np.flatnonzero(scores >= np.float32(self.score_threshold * relax))
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            boxes, points = decode(rows[kept, 2:], kept, (size[0], size[1]))
        boxes *= np.tile(stretch, 2)
        confidence = np.broadcast_to(scores[kept, None, None], (len(kept), 5, 1))
        keypoints = np.concatenate([points * stretch, confidence], axis=2)
        require_finite("YuNet", boxes, keypoints)
        origin = origins(scores[kept], self.score_threshold)
        return Detections(FACE, boxes, scores[kept], keypoints=keypoints, origin=origin)


def _shown(image: Image, inner: tuple[int, int]) -> Image:
    """(H, W, 3) uint8 BGR, as the network was trained, resized to `inner` and black beyond it up to whole steps."""
    import cv2

    height, width = image.shape[:2]
    if inner != (width, height):
        shrinks = inner[0] * inner[1] < width * height
        image = np.asarray(
            cv2.resize(image, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
        )
    right, below = -inner[0] % _STEP, -inner[1] % _STEP
    return np.pad(image[:, :, ::-1], ((0, below), (0, right), (0, 0)))


def decode(
    rows: NDArray[np.float32], anchors: NDArray[np.intp], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes and landmarks in the network's pixels.

    Args:
        rows: (K, 14) offset of the centre from its cell in cells, logarithm of the size in cells, and offsets of the
            landmarks from the cell in cells.
        anchors: (K,) places among all rows: the cells of stride 8 row by row, then those of 16 and of 32.
        size: (width, height) of the network's input, multiples of 32.

    Returns:
        (K, 4) float32 x0 y0 x1 y1 and (K, 5, 2) float32 x y.
    """
    cells, strides = _grid(size)
    corner, stride = cells[anchors], strides[anchors, None]  # [K, 2], [K, 1]
    centre = (rows[:, :2] + corner) * stride
    half = np.exp(rows[:, 2:4]) * stride / 2
    points = (rows[:, 4:].reshape(-1, 5, 2) + corner[:, None]) * stride[:, None]
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32), points.astype(np.float32)


@lru_cache(maxsize=16)
def _grid(size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(A, 2) x, y of every cell and (A,) its stride."""
    cells, strides = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: size[1] // stride, : size[0] // stride]
        cells.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        strides.append(np.full(x.size, stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _network(data: bytes, path: Path) -> Network:
    check_model(data, path)
    return Network(data, _NAMES, pixels=True)


def check_model(data: bytes, path: Path) -> None:
    """Raise `WeightsError` unless this is YuNet's ONNX file with free axes."""
    import onnx

    try:
        graph = onnx.load_from_string(data).graph
    except Exception as error:  # protobuf's error class differs between its versions
        raise WeightsError(f"{path}: not an ONNX file: {error}") from error
    if not set(_NAMES) <= {value.name for value in graph.output} or len(graph.input) != 1:
        raise WeightsError(f"{path}: not YuNet: one input and the outputs {', '.join(_NAMES)} are expected")
    sides = graph.input[0].type.tensor_type.shape.dim[2:]
    if any(side.dim_value for side in sides):
        raise WeightsError(f"{path}: YuNet for one picture size only; yunet_n_dynamic.onnx is for any")
