"""RetinaFace as a detector: real faces, weak ones, sizes, threads' door and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dp2.detect.faces.retinaface import RetinaFace
from dp2.errors import CheckpointMismatch, DetectionError, EngineError, MissingWeights, UsageError
from dp2.models.faces.retinaface import RetinaFace as Network
from dp2.stages import Detector
from dp2.types import Image, Origin

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "weights" / "RetinaFace_mobilenet025.pth"


@pytest.fixture(scope="module")
def any_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random ones that give scores on both sides of one half."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "retinaface.pth"
    torch.save(Network("mobilenet").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def detector() -> RetinaFace:
    if not REAL.is_file():
        pytest.skip("../shared/data/weights is not there")
    return RetinaFace(weights=str(REAL), device="cpu")


@pytest.fixture(scope="module")
def noise() -> Image:
    return np.random.default_rng(0).integers(0, 256, (97, 131, 3), np.uint8)


def test_is_a_detector_named_by_its_checkpoint(any_weights: Path) -> None:
    detector = RetinaFace(weights=str(any_weights))
    assert isinstance(detector, Detector)
    assert str(any_weights) in detector.settings["weights"]


def test_finds_the_face_with_its_landmarks(detector: RetinaFace, astronaut: Image) -> None:
    ((faces,),) = detector([astronaut])
    best = faces[0]
    x0, y0, x1, y1 = best.boxes[0]
    assert best.scores[0] > 0.99
    left_eye, right_eye, nose, *mouth = best.keypoints[0, :, :2]
    assert x0 < left_eye[0] < nose[0] < right_eye[0] < x1
    assert y0 < left_eye[1] < nose[1] < min(corner[1] for corner in mouth) < y1


def test_half_precision_is_used_when_asked_for_and_finds_the_same(
    detector: RetinaFace, astronaut: Image, halved: list[torch.dtype]
) -> None:
    ((plain,),) = detector([astronaut])
    assert set(halved) == {torch.float32}
    ((half,),) = RetinaFace(weights=str(REAL), device="cpu", amp=True)([astronaut])
    assert torch.float16 in halved
    np.testing.assert_allclose(half.boxes[0], plain.boxes[0], atol=1)
    np.testing.assert_allclose(half.keypoints[0], plain.keypoints[0], atol=1)


def test_faces_of_20_pixels_and_more_are_covered(detector: RetinaFace, city: Image, city_faces: np.ndarray) -> None:
    ((faces,),) = detector([city])
    x0, y0, x1, y1 = faces.boxes.T
    x, y = city_faces.T[:, :, None]
    assert ((x0 < x) & (x < x1) & (y0 < y) & (y < y1)).any(axis=1).all()


@pytest.mark.parametrize("scale", [0.5, "256x256"])
def test_boxes_are_in_the_frames_pixels_at_any_scale(
    detector: RetinaFace, astronaut: Image, scale: float | str
) -> None:
    ((faces,),) = detector([astronaut])
    ((half,),) = RetinaFace(weights=str(REAL), scale=scale)([astronaut])
    np.testing.assert_allclose(half.boxes[0], faces.boxes[0], atol=12)
    np.testing.assert_allclose(half.keypoints[0, :, :2], faces.keypoints[0, :, :2], atol=12)


def test_frames_of_a_batch_do_not_influence_each_other(detector: RetinaFace, astronaut: Image, hopper: Image) -> None:
    images = [astronaut[:320, 80:400], hopper[:320, 60:380], astronaut[:300, 80:400]]
    for image, (faces,) in zip(images, detector(images), strict=True):
        ((alone,),) = detector([image])
        np.testing.assert_allclose(faces.boxes, alone.boxes, atol=0.01)


def test_relaxed_faces_are_weak_and_the_sure_ones_stay(any_weights: Path, noise: Image) -> None:
    detector = RetinaFace(weights=str(any_weights), score_threshold=0.5)
    ((strict,),), ((relaxed,),) = detector([noise]), detector([noise], relax=0.9)
    weak = relaxed.origins == Origin.WEAK
    assert weak.any()
    assert (relaxed.scores[weak] < 0.5).all()
    assert (relaxed.scores[weak] >= 0.45).all()
    np.testing.assert_array_equal(relaxed.confirmed.boxes, strict.boxes)


def test_output_that_is_no_number_is_an_error_not_an_empty_frame(tmp_path: Path, noise: Image) -> None:
    state = Network("mobilenet").state_dict()
    state["ClassHead.0.conv1x1.bias"][:] = torch.nan
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(DetectionError, match="not finite"):
        RetinaFace(weights=str(tmp_path / "broken.pth"))([noise])


def test_wrapped_resnet_checkpoint_is_told_by_its_keys(tmp_path: Path) -> None:
    state = Network("resnet50").state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "r50.pth")
    detector = RetinaFace(weights=str(tmp_path / "r50.pth"), score_threshold=0)
    ((faces,),) = detector([np.zeros((40, 40, 3), np.uint8)])
    assert faces.keypoints is not None
    assert faces.keypoints.shape[1:] == (5, 3)


def test_checkpoint_of_another_network_is_refused(tmp_path: Path, noise: Image) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointMismatch, match=r"other\.pth"):
        RetinaFace(weights=str(tmp_path / "other.pth"))([noise])


def test_wrong_use_is_named(any_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noise: Image) -> None:
    with pytest.raises(UsageError, match="score_threshold"):
        RetinaFace(weights=str(any_weights), score_threshold=2)
    with pytest.raises(EngineError, match="--device cpu"):
        RetinaFace(weights=str(any_weights), device="xla")([noise])
    monkeypatch.setenv("DP2_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("DP2_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights):
        RetinaFace()
