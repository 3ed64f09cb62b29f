"""YOLOX (Ge et al. 2021, arXiv 2107.08430): boxes of people and vehicles; the published nano network by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from dp2.errors import DetectionError, EngineError, UsageError, WeightsError
from dp2.geometry.nms import suppress
from dp2.inference.lazy_engine import LazyEngine
from dp2.inference.network import Network
from dp2.types import PERSON, VEHICLE, Detections, Image
from dp2.weights.store import Store

# Columns of the 80 COCO classes; vehicles are what carries a number plate: car, motorcycle, bus, truck
_CLASSES = {PERSON: (0,), VEHICLE: (2, 3, 5, 7)}
_COLUMNS = 85  # x, y, width, height, objectness, classes
_STRIDES = (8, 16, 32)
_STEP = _STRIDES[-1]
_GREY = 114  # of the border in the published training and demo
_BATCH_PIXELS = 8 * 1280 * 736


class Yolox:
    """Detector of people and vehicles. The file is looked for when it is built and loaded with the first frame.

    Args:
        kinds: what is reported, of "person" and "vehicle".
        score_threshold: what scores below it is not reported, or as weak if the caller relaxes it. A score is
            objectness times the best class of the kind.
        nms_iou: largest overlap of two boxes of one kind.
        input_size: longer side in pixels of what the network sees, rounded up to a multiple of 32; frames keep their
            aspect. The published networks were trained with 320 to 640; larger sizes find smaller people.
        engine: one of `dp2.inference.engine.ENGINES`.
        device: one of `dp2.inference.engine.DEVICES` or an ONNX Runtime execution provider.
        weights: name in the registry, or an ONNX file published by YOLOX.

    Raises:
        UsageError: a value is out of its range.
        MissingWeights: the file is not on this machine.
    """

    def __init__(
        self,
        *,
        kinds: Sequence[str] = (PERSON,),
        score_threshold: float = 0.25,
        nms_iou: float = 0.5,
        input_size: int = 640,
        engine: str = "auto",
        device: str = "auto",
        weights: str = "yolox_nano",
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        check_fraction("nms_iou", nms_iou)
        if not kinds or not set(kinds) <= set(_CLASSES) or len(set(kinds)) != len(kinds):
            raise UsageError(f"kinds must be some of {', '.join(_CLASSES)}, each once, not {list(kinds)}")
        if input_size < _STEP:
            raise UsageError(f"input_size must be at least {_STEP} pixels, not {input_size}")
        self.kinds: tuple[str, ...] = tuple(kinds)
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.input_size = int(input_size)
        path = Store().path(weights)
        self._engine = LazyEngine(lambda: path, _network, engine=engine, device=device)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`; loads the weights."""
        return {
            "detector": "Yolox",
            "kinds": list(self.kinds),
            "score_threshold": self.score_threshold,
            "nms_iou": self.nms_iou,
            "input_size": self.input_size,
            "resize": "linear",  # so that stored results from before are not taken for these
            **self._engine.settings,
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("YOLOX"):
            check_images(images)
            return by_size(images, lambda some: self._detect(some, relax), _BATCH_PIXELS)

    def _detect(self, images: Sequence[Image], relax: float) -> list[tuple[Detections, ...]]:
        """Frames of one size."""
        height, width = images[0].shape[:2]
        box = letterbox_of((width, height), self.input_size)
        try:
            (rows,) = self._engine.get().run(np.stack([letterboxed(image, box) for image in images]))  # [N, A, 85]
        except EngineError as error:
            raise DetectionError(f"YOLOX failed: {error}") from error
        require_finite("YOLOX", rows)
        found = []
        for answer in rows:
            parts = (self._of_kind(kind, answer, box, relax) for kind in self.kinds)
            found.append(tuple(in_frame(suppress(part, self.nms_iou), height, width) for part in parts))
        return found

    def _of_kind(self, kind: str, answer: NDArray[np.float32], box: Letterbox, relax: float) -> Detections:
        """Rows of one kind before suppression, in the frame's pixels; `answer` is (A, 85)."""
        classes = answer[:, 5:][:, _CLASSES[kind]].max(axis=1)
        scores = (answer[:, 4] * classes).clip(0, 1)
        kept = np.flatnonzero(scores >= np.float32(self.score_threshold * relax))
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            boxes = decode(answer[kept], kept, box.padded) * np.array(box.stretch * 2, np.float32)
        require_finite("YOLOX", boxes)
        return Detections(kind, boxes, scores[kept], origin=origins(scores[kept], self.score_threshold))


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a frame lies in what the network sees: at the top left, with a grey border at the right and bottom.

    Attributes:
        inner: (width, height) of the resized frame.
        padded: (width, height) with the border, multiples of 32.
        stretch: pixels of the frame for one of `inner`, along x and y.
    """

    inner: tuple[int, int]
    padded: tuple[int, int]
    stretch: tuple[float, float]


def letterbox_of(size: tuple[int, int], longer: int) -> Letterbox:
    """The letterbox of a frame of `size` = (width, height), with a longer side of `longer` pixels rounded up.

    The published demo pads to a square; the network itself is free of that, and a border costs as much as a picture.
    """
    longer = -(-longer // _STEP) * _STEP
    factor = longer / max(size)
    width, height = (max(1, round(side * factor)) for side in size)
    padded = (-(-width // _STEP) * _STEP, -(-height // _STEP) * _STEP)
    return Letterbox((width, height), padded, (size[0] / width, size[1] / height))


def letterboxed(image: Image, box: Letterbox) -> Image:
    """(H, W, 3) uint8 BGR, as YOLOX was trained, from an RGB frame."""
    import cv2

    much = max(box.stretch) >= 2  # below, linear as the published demo: in a fifth of the time
    resized = cv2.resize(image, box.inner, interpolation=cv2.INTER_AREA if much else cv2.INTER_LINEAR)
    canvas = np.full((box.padded[1], box.padded[0], 3), _GREY, np.uint8)
    canvas[: box.inner[1], : box.inner[0]] = cv2.cvtColor(resized, cv2.COLOR_RGB2BGR)
    return canvas


def decode(rows: NDArray[np.float32], anchors: NDArray[np.intp], size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes in the network's pixels (the paper's section 2.1, anchor-free).

    Args:
        rows: (K, ≥4) offset of the centre from its cell, in cells, and logarithm of the size in cells.
        anchors: (K,) places among all rows: the cells of stride 8 row by row, then those of 16 and of 32.
        size: (width, height) of the network's input, multiples of 32.

    Returns:
        (K, 4) float32 x0 y0 x1 y1.
    """
    cells, strides = _grid(size)
    centre = (rows[:, :2] + cells[anchors]) * strides[anchors, None]
    half = np.exp(rows[:, 2:4]) * strides[anchors, None] / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


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
    return Network(with_free_axes(data, path), ("output",), pixels=True)


def with_free_axes(data: bytes, path: Path) -> bytes:
    """YOLOX's ONNX file for any batch and image size; the published ones are fixed to one square picture.

    Raises:
        WeightsError: the file is not an ONNX file with YOLOX's input and output.
    """
    import onnx

    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's error class differs between its versions
        raise WeightsError(f"{path}: not an ONNX file: {error}") from error
    graph = model.graph
    columns = [[axis.dim_value for axis in value.type.tensor_type.shape.dim][-1:] for value in graph.output]
    if [value.name for value in graph.input] != ["images"] or columns != [[_COLUMNS]]:
        raise WeightsError(
            f"{path}: not YOLOX for COCO: input images and one output of {_COLUMNS} columns are expected"
        )
    if graph.output[0].name != "output":
        raise WeightsError(f"{path}: not YOLOX: its output is {graph.output[0].name}, not output")
    _free_reshapes(graph)
    del graph.input[:], graph.output[:], graph.value_info[:]
    floats = onnx.TensorProto.FLOAT
    graph.input.append(onnx.helper.make_tensor_value_info("images", floats, ["N", 3, "H", "W"]))
    graph.output.append(onnx.helper.make_tensor_value_info("output", floats, ["N", "A", _COLUMNS]))
    serialised: bytes = model.SerializeToString()
    return serialised


def _free_reshapes(graph: Any) -> None:
    """The shapes that the network reshapes to begin with its batch of 1; 0 takes over whatever the batch is."""
    from onnx import numpy_helper

    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for constant in graph.initializer:
        if constant.name in shapes:
            shape = numpy_helper.to_array(constant).copy()
            shape[0] = 0
            constant.CopyFrom(numpy_helper.from_array(shape, constant.name))
