"""SFace (Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", TIP 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dp2.errors import DetectionError, EngineError, WeightsError
from dp2.faces.alignment import SPHEREFACE, aligned
from dp2.faces.embedding import face_places
from dp2.inference.lazy_engine import LazyEngine
from dp2.inference.network import Network
from dp2.types import Image
from dp2.weights.onnx_files import parse_onnx
from dp2.weights.store import Store

_SIDE = 112
_TEMPLATE = SPHEREFACE + np.array([8, 0], np.float32)  # the same face, in the middle of a square
_INPUT, _OUTPUT = (1, 3, _SIDE, _SIDE), (1, 128)


class SFace:
    """SFace of OpenCV's model zoo, on faces aligned by five landmarks; a face and its mirror image are averaged.

    Licence of the weights: Apache-2.0. Published accuracy on LFW: 99.4 % (opencv_zoo's README).

    Args:
        device: as in `dp2.detect.faces.yunet.YuNet`.
        weights: name in the registry, or an ONNX file of that network.
        same_person: see `FaceEmbedder`. OpenCV's demo takes 0.363, which is the most accurate on LFW; this one is
            stricter, and not measured by dp2.
        engine: one of `dp2.inference.engine.ENGINES`.

    Raises:
        UsageError: no engine or device of that name.
        MissingWeights: the file is not on this machine.
    """

    channels = 128

    def __init__(
        self, *, device: str = "auto", weights: str = "sface", same_person: float = 0.6, engine: str = "auto"
    ) -> None:
        self.same_person = same_person
        self._weights = weights
        path = Store().path(weights)
        self._engine = LazyEngine(lambda: path, _network, engine=engine, device=device)

    @property
    def name(self) -> str:
        """See `dp2.faces.embedding.FaceEmbedder`."""
        return f"SFace ({Path(self._weights).stem})"

    def __call__(
        self, images: Sequence[Image], boxes: NDArray[np.float32], landmarks: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """See `dp2.faces.embedding.FaceEmbedder`."""
        _, points = face_places(images, boxes, landmarks)
        if not len(images):
            return np.zeros((0, self.channels), np.float32)
        engine = self._engine.get()
        sums = []
        for image, row in zip(images, points, strict=True):
            face = aligned(image, row, _TEMPLATE, (_SIDE, _SIDE))
            try:
                one, other = (engine.run(np.ascontiguousarray(side)[None])[0] for side in (face, face[:, ::-1]))
            except EngineError as error:
                raise DetectionError(f"the face embedding failed: {error}") from error
            sums.append(one[0] + other[0])
        vectors = np.stack(sums).astype(np.float32)
        if not np.isfinite(vectors).all():
            raise DetectionError("the face embedding's values are not finite")
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


def _network(data: bytes, path: Path) -> Network:
    """The file's network, which takes RGB in [0, 255] as it is: its first two operations bring it to [-1, 1].

    Raises:
        WeightsError: it is another one.
    """
    graph = parse_onnx(data, path).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [_shape(value) for value in graph.input if value.name not in constants]
    outputs = [_shape(value) for value in graph.output]
    if inputs != [_INPUT] or outputs != [_OUTPUT]:
        raise WeightsError(f"{path}: not SFace, which has {_INPUT} → {_OUTPUT}: {inputs} → {outputs}.")
    return Network(data, (graph.output[0].name,), pixels=True, threads=1)


def _shape(value: object) -> tuple[int, ...]:
    return tuple(side.dim_value for side in value.type.tensor_type.shape.dim)  # type: ignore[attr-defined]
