from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dp2.detect.faces.mtcnn import MTCNN
from dp2.errors import CheckpointMismatch, DetectionError, EngineError, MissingWeights, UsageError, WeightsError
from dp2.types import Detections, Image, Origin
from dp2.weights.packaged import shipped_file


@pytest.fixture(scope="module")
def detector() -> MTCNN:
    return MTCNN(device="cpu")


def faces(detector: MTCNN, image: Image, **kwargs: float) -> Detections:
    return detector([image], **kwargs)[0][0]


@pytest.mark.parametrize("photo", ["group", "hopper", "city", "regjeringen"])
def test_faces_equal_facenet_pytorchs(photo: str, detector: MTCNN, request: pytest.FixtureRequest) -> None:
    facenet = pytest.importorskip("facenet_pytorch")
    image = np.ascontiguousarray(request.getfixturevalue(photo)[:900, :900])
    reference = facenet.MTCNN(min_face_size=40, thresholds=[0.6, 0.7, 0.7], factor=0.709, keep_all=True, device="cpu")
    boxes, scores, points = reference.detect(image, landmarks=True)
    ours = faces(detector, image)
    assert len(ours) == len(boxes) >= 1
    assert ours.keypoints is not None
    pairs = np.abs(ours.boxes[:, None] - boxes[None].astype(np.float32)).max(2).argmin(1)
    np.testing.assert_allclose(ours.boxes, boxes[pairs].astype(np.float32), atol=1)
    np.testing.assert_allclose(ours.scores, scores[pairs].astype(np.float32), atol=1e-3)
    np.testing.assert_allclose(ours.keypoints[..., :2], points[pairs].astype(np.float32), atol=1)


def test_batch_equals_one_by_one(detector: MTCNN, hopper: Image, astronaut: Image) -> None:
    images = [astronaut, hopper, np.ascontiguousarray(astronaut[:, ::-1])]
    for (together,), image in zip(detector(images), images, strict=True):
        np.testing.assert_allclose(together.boxes, faces(detector, image).boxes, atol=0.01)


def test_relaxing_adds_weak_rows_only(detector: MTCNN, city: Image) -> None:
    strict = faces(detector, city)
    relaxed = faces(detector, city, relax=0.3)
    np.testing.assert_allclose(relaxed.confirmed.boxes, strict.boxes, atol=0.01)
    weak = relaxed[relaxed.origins == Origin.WEAK]
    assert len(weak) > 0
    assert ((weak.scores < 0.7) & (weak.scores >= 0.21)).all()


def test_faces_below_the_least_size_are_not_looked_for(astronaut: Image) -> None:
    assert len(faces(MTCNN(min_size=40, device="cpu"), astronaut)) == 1
    assert len(faces(MTCNN(min_size=300, device="cpu"), astronaut)) == 0


@pytest.mark.parametrize("size", [(1, 1), (40, 40), (39, 200), (60, 64)])
def test_small_frame_without_faces_gives_none(detector: MTCNN, size: tuple[int, int]) -> None:
    assert len(faces(detector, np.full((*size, 3), 90, np.uint8))) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_size": 5},
        {"thresholds": (0.6, 0.7)},
        {"thresholds": (0.6, 0.7, 7)},
        {"factor": 1},
        {"score_threshold": -1},
    ],
)
def test_wrong_argument_is_wrong_usage(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        MTCNN(**wrong)


def test_unknown_device_is_an_engine_error(astronaut: Image) -> None:
    with pytest.raises(EngineError, match="abacus"):
        MTCNN(device="abacus")([astronaut])


def copied_weights(folder: Path, **replaced: Any) -> Path:
    for name in ("pnet", "rnet", "onet"):
        state = load_file(shipped_file(f"mtcnn_{name}.safetensors"))
        torch.save(replaced.get(name, state), folder / f"{name}.pt")
    return folder


def test_own_weights_folder_is_read(tmp_path: Path, astronaut: Image, detector: MTCNN) -> None:
    own = MTCNN(weights=copied_weights(tmp_path), device="cpu")
    np.testing.assert_array_equal(faces(own, astronaut).boxes, faces(detector, astronaut).boxes)


def test_weights_of_another_network_are_refused(tmp_path: Path, astronaut: Image) -> None:
    folder = copied_weights(tmp_path, rnet={"conv.weight": torch.zeros(1)})
    with pytest.raises(CheckpointMismatch, match="RNet"):
        MTCNN(weights=folder)([astronaut])


def test_missing_and_damaged_weights_are_named(tmp_path: Path, astronaut: Image) -> None:
    with pytest.raises(MissingWeights, match=r"pnet\.pt"):
        MTCNN(weights=tmp_path)([astronaut])
    copied_weights(tmp_path)
    (tmp_path / "onet.pt").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"onet\.pt"):
        MTCNN(weights=tmp_path)([astronaut])


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_broken_network_is_an_error_not_an_empty_result(name: str, tmp_path: Path, astronaut: Image) -> None:
    state = load_file(shipped_file(f"mtcnn_{name}.safetensors"))
    broken = {key: torch.full_like(value, torch.nan) for key, value in state.items()}
    with pytest.raises(DetectionError, match="finite"):
        MTCNN(weights=copied_weights(tmp_path, **{name: broken}), device="cpu")([astronaut])
