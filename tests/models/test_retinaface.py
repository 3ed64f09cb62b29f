"""RetinaFace: published outputs, folding, priors and selection."""

from __future__ import annotations

import importlib.util
from math import ceil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from dp2.models.faces.retinaface import Faces, RetinaFace, decode, prior_boxes, rename_published, select
from dp2.models.folding import folded

DATA = Path(__file__).resolve().parents[1] / "fixtures"
SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load(DATA / "make_retinaface.py")


def error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs).norm() / theirs.double().norm())


@pytest.fixture(scope="module")
def network() -> RetinaFace:
    seeded = RetinaFace("mobilenet").eval().requires_grad_(False)
    seeded.load_state_dict({k: make.seeded(k, tuple(v.shape)) for k, v in seeded.state_dict().items()})
    return seeded


def test_gives_the_stored_candidates(network: RetinaFace) -> None:
    stored = np.load(DATA / "retinaface.npz")
    for name, ours in network(make.picture())._asdict().items():
        assert error(ours, torch.from_numpy(stored[name])) < 1e-5


def test_folded_network_has_no_normalisation_left_and_gives_the_same(network: RetinaFace) -> None:
    fast = folded(network)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fast.modules())
    for ours, theirs in zip(fast(make.picture()), network(make.picture()), strict=True):
        assert error(ours, theirs) < 1e-4


def test_folding_leaves_the_original_alone(network: RetinaFace) -> None:
    before = {k: v.clone() for k, v in network.state_dict().items()}
    folded(network)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_batch_equals_one_at_a_time(network: RetinaFace) -> None:
    pictures = torch.cat((make.picture(), make.picture().flip(3)))
    together = network(pictures)
    for row in range(2):
        alone = network(pictures[row : row + 1])
        assert error(together.boxes[row : row + 1], alone.boxes) < 1e-5
        assert error(together.scores[row : row + 1], alone.scores) < 1e-5


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_there_is_a_prior_for_each_cell_and_each_is_centred_in_it(height: int, width: int) -> None:
    priors = prior_boxes(height, width)
    assert len(priors) == 2 * sum(ceil(height / s) * ceil(width / s) for s in (8, 16, 32))
    assert torch.equal(priors[0], torch.tensor([4.0, 4.0, 16.0, 16.0]))
    assert priors[:, 0].max() < width + 32
    assert priors[:, 1].max() < height + 32


def test_no_offset_gives_the_prior_itself() -> None:
    priors = prior_boxes(64, 96)
    boxes, landmarks = decode(priors, torch.zeros(1, len(priors), 4), torch.zeros(1, len(priors), 10))
    assert torch.allclose((boxes[0, :, :2] + boxes[0, :, 2:]) / 2, priors[:, :2])
    assert torch.allclose(boxes[0, :, 2:] - boxes[0, :, :2], priors[:, 2:])
    assert torch.allclose(landmarks[0], priors[:, None, :2].expand(-1, 5, 2))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0.05, 0.9))
def test_selection_is_sure_sorted_and_apart(seed: int, threshold: float, nms_iou: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(2, 40, 2, generator=generator) * 50
    boxes = torch.cat((corners, corners + 5 + torch.rand(2, 40, 2, generator=generator) * 30), dim=2)
    scores = torch.rand(2, 40, generator=generator)
    found = select(Faces(boxes, scores, torch.zeros(2, 40, 5, 2)), threshold, nms_iou)
    for kept, all_boxes, all_scores in zip(found, boxes, scores, strict=True):
        assert (kept.scores >= threshold).all()
        assert (kept.scores.diff() <= 0).all()
        overlap = box_iou(kept.boxes, kept.boxes).fill_diagonal_(0)
        assert not (overlap > nms_iou + 1e-6).any()
        sure = all_boxes[all_scores >= threshold]
        # what was dropped lies on something that was kept
        assert len(sure) == 0 or (box_iou(sure, kept.boxes).amax(dim=1) > nms_iou - 1e-6).all()


@pytest.mark.parity
@pytest.mark.parametrize(("name", "body"), [("retinaface_mnet", "mobilenet"), ("retinaface_re50", "resnet50")])
def test_gives_the_published_faces(name: str, body: str) -> None:
    if not (SHARED / "parity").is_dir():
        pytest.skip("../shared/parity is not there")
    recipe = load(SHARED / "parity" / "recipe.py")
    case, _ = recipe.case(name)
    network = RetinaFace(body).eval()
    network.load_state_dict(rename_published({f"module.{k}": v for k, v in recipe.weights(name).items()}))
    image = case["inputs/image"][None].float()
    with torch.inference_mode():
        candidates = folded(network)(image)
    size = torch.tensor([640, 480])
    assert error(prior_boxes(480, 640) / size.repeat(2), case["priors"]) < 1e-6
    assert error(candidates.boxes / size.repeat(2), case["raw"][..., :4]) < 1e-4
    assert error(candidates.scores, case["raw"][..., 4]) < 1e-4
    assert error((candidates.landmarks / size).flatten(2), case["raw_landmarks"]) < 1e-4
    (faces,) = select(candidates, 0.5)
    inside = torch.minimum(faces.boxes.clamp(min=0), size.repeat(2))
    assert torch.equal(inside.round().long(), case["boxes_px"])


def test_real_weights_find_a_face_with_its_eyes_above_its_mouth(astronaut: np.ndarray) -> None:
    weights = SHARED / "data" / "weights" / "RetinaFace_mobilenet025.pth"
    if not weights.is_file():
        pytest.skip("../shared/data/weights is not there")
    network = RetinaFace("mobilenet").eval()
    network.load_state_dict(rename_published(torch.load(weights, map_location="cpu", weights_only=True)))
    with torch.inference_mode():
        picture = torch.from_numpy(astronaut.copy()).permute(2, 0, 1)[None].float()
        (faces,) = select(network(picture), 0.9)
    assert len(faces.boxes) == 1
    x0, y0, x1, y1 = faces.boxes[0].tolist()
    left_eye, right_eye, nose, *mouth = faces.landmarks[0].tolist()
    assert x0 < left_eye[0] < right_eye[0] < x1
    assert y0 < left_eye[1] < nose[1] < min(corner[1] for corner in mouth) < y1
