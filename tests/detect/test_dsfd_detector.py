"""DSFD as a detector, with a small network of random weights: the published ones are large."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from dp2.detect.faces.dsfd import DSFD
from dp2.errors import DetectionError, MissingWeights, UsageError
from dp2.models.faces import dsfd
from dp2.stages import Detector
from dp2.types import Image, Origin

SMALL = Path(__file__).resolve().parents[1] / "fixtures" / "make_dsfd.py"


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _load(SMALL)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of the small network, which takes the place of the published one."""
    monkeypatch.setattr(dsfd, "DSFD", make.small)
    monkeypatch.setattr(dsfd, "rename_published", dict)  # it is saved under its own names
    torch.save(make.small().state_dict(), tmp_path / "dsfd.pth")
    return tmp_path / "dsfd.pth"


@pytest.fixture
def picture() -> Image:
    return np.ascontiguousarray(make.picture()[0].permute(1, 2, 0).numpy())


def published(image: Image, threshold: float) -> dsfd.FaceBoxes:
    with torch.inference_mode():
        candidates = make.small()(torch.from_numpy(image).permute(2, 0, 1)[None])
    (faces,) = dsfd.select_faces(candidates, image.shape[:2], threshold)
    return faces


def test_reports_what_the_network_finds_at_full_size(weights: Path, picture: Image) -> None:
    detector = DSFD(weights=str(weights), score_threshold=0.6, device="cpu")
    assert isinstance(detector, Detector)
    ((faces,),) = detector([picture])
    expected = published(picture, 0.6)
    assert len(faces) > 1
    np.testing.assert_allclose(faces.boxes, expected.boxes, atol=0.01)
    np.testing.assert_allclose(faces.scores, expected.scores, atol=1e-4)
    assert faces.keypoints is None


def test_boxes_of_a_smaller_pass_are_in_the_frames_pixels(weights: Path, picture: Image) -> None:
    twice = picture.repeat(2, axis=0).repeat(2, axis=1)
    detector = DSFD(weights=str(weights), score_threshold=0.6, scale=0.5, device="cpu")
    ((faces,),) = detector([twice])
    np.testing.assert_allclose(faces.boxes, 2 * published(picture, 0.6).boxes.numpy(), atol=0.02)


def test_relaxed_faces_are_weak(weights: Path, picture: Image) -> None:
    detector = DSFD(weights=str(weights), score_threshold=0.6, device="cpu")
    ((strict,),), ((relaxed,),) = detector([picture]), detector([picture], relax=0.8)
    weak = relaxed.origins == Origin.WEAK
    assert weak.any()
    assert (relaxed.scores[weak] < 0.6).all()
    np.testing.assert_array_equal(relaxed.confirmed.boxes, strict.boxes)


def test_half_precision_is_used_when_asked_for_and_finds_the_same(
    weights: Path, picture: Image, halved: list[torch.dtype]
) -> None:
    ((plain,),) = DSFD(weights=str(weights), score_threshold=0.6, device="cpu")([picture])
    assert set(halved) == {torch.float32}
    ((half,),) = DSFD(weights=str(weights), score_threshold=0.6, device="cpu", amp=True)([picture])
    assert torch.float16 in halved
    assert half.boxes.dtype == np.float32
    np.testing.assert_allclose(half.boxes[0], plain.boxes[0], atol=0.5)
    np.testing.assert_allclose(half.scores[0], plain.scores[0], atol=0.01)


def test_output_that_is_no_number_is_an_error_not_an_empty_frame(weights: Path, picture: Image) -> None:
    state = torch.load(weights)
    state["conf.0.conv4.bias"][:] = torch.nan
    torch.save(state, weights)
    with pytest.raises(DetectionError, match="not finite"):
        DSFD(weights=str(weights), device="cpu")([picture])


def test_wrong_use_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scale"):
        DSFD(weights=str(weights), scale="huge")
    monkeypatch.setenv("DP2_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("DP2_CACHE", str(tmp_path / "none"))
    with pytest.raises(MissingWeights, match="dsfd"):
        DSFD()
