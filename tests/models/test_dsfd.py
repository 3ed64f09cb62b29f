"""DSFD: published outputs, names, priors and selection."""

from __future__ import annotations

import importlib.util
import os
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dp2.errors import DetectionError
from dp2.models.faces.dsfd import DSFD, LEFTOVERS, FaceBoxes, prior_boxes, rename_published, select_faces
from dp2.models.fuse import fuse_for_inference
from dp2.weights.loading import load_checkpoint, load_strict, network_state

DATA = Path(__file__).resolve().parents[1] / "fixtures"
PARITY = Path(__file__).resolve().parents[2].parent / "shared" / "parity"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load(DATA / "make_dsfd.py")


def error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs).norm() / theirs.double().norm())


@pytest.mark.parametrize("fused", [False, True])
def test_gives_the_stored_candidates(fused: bool) -> None:
    network = fuse_for_inference(make.small()) if fused else make.small()
    with torch.inference_mode(), np.load(DATA / "dsfd.npz") as stored:
        for name, ours in network(make.picture())._asdict().items():
            assert error(ours, torch.from_numpy(stored[name])) < 1e-4


def test_batch_equals_one_at_a_time() -> None:
    network, pictures = make.small(), torch.cat((make.picture(), make.picture().flip(3)))
    with torch.inference_mode():
        together = network(pictures)
        for row in range(2):
            alone = network(pictures[row : row + 1])
            assert error(together.boxes[row], alone.boxes[0]) < 1e-5
            assert error(together.scores[row], alone.scores[0]) < 1e-5


def test_half_precision_stays_close() -> None:
    network = make.small()
    with torch.inference_mode():
        exact = network(make.picture())
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(make.picture())
    assert rough.boxes.dtype == torch.float32
    assert error(rough.boxes, exact.boxes) < 0.02


def test_output_that_is_no_number_is_an_error_not_an_empty_frame() -> None:
    network = make.small()
    with torch.no_grad():
        network.get_parameter("conf.0.conv4.bias")[0] = torch.nan
    with torch.inference_mode(), pytest.raises(DetectionError, match="not finite"):
        network(make.picture())


def test_prior_is_upright_and_centred_in_its_cell() -> None:
    priors = prior_boxes((100, 200), 1, (13, 25), "cpu")
    assert len(priors) == 13 * 25
    pixels = priors[0] * torch.tensor([200, 100, 200, 100])
    assert torch.allclose(pixels, torch.tensor([4, 4, 32 / 1.5**0.5, 32 * 1.5**0.5]))
    assert prior_boxes((100, 200), 5, (1, 2), "cpu").max() == 1


def test_selection_drops_the_unsure_and_the_covered_then_clips() -> None:
    boxes = torch.tensor([[[-5.0, 0, 10, 10], [-4, 0, 10, 10], [50, 50, 90, 120], [20, 20, 30, 30]]])
    scores = torch.tensor([[0.8, 0.9, 0.7, 0.1]])
    (found,) = select_faces(FaceBoxes(boxes, scores), (100, 80), threshold=0.5)
    assert found.boxes.tolist() == [[0, 0, 10, 10], [50, 50, 80, 100]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])


@pytest.fixture(scope="module")
def recipe() -> Any:
    if not PARITY.is_dir():
        pytest.skip("../shared/parity is not there")
    return load(PARITY / "recipe.py")


@pytest.mark.parity
@pytest.mark.skipif(os.environ.get("DP2_PARITY") != "1", reason="takes half a minute; runs with DP2_PARITY=1")
@pytest.mark.parametrize("fused", [False, True])
def test_gives_the_published_faces(recipe: Any, tmp_path: Path, fused: bool) -> None:
    path = tmp_path / "dsfd.pth"
    torch.save(recipe.weights("dsfd"), path)
    case, _ = recipe.case("dsfd")
    network = DSFD().eval()
    load_strict(network, network_state(load_checkpoint(path)), LEFTOVERS, str(path), rename_published)
    if fused:
        fuse_for_inference(network)
    heads: dict[str, Tensor] = {}
    for name in (f"{kind}{i}" for kind in ("loc", "conf") for i in range(6)):
        head = network.get_submodule(f"{name[:-1]}.{name[-1]}")
        head.register_forward_hook(lambda _, __, out, name=name: heads.update({name: out}))
    with torch.inference_mode():
        candidates = network(case["inputs/image"][None])
    assert max(error(out, case[f"head_out/{name}"]) for name, out in heads.items()) < 1e-4
    size = torch.tensor([640, 480, 640, 480])
    cells = [(ceil(480 / step), ceil(640 / step)) for step in (4, 8, 16, 32, 64, 128)]
    priors = torch.cat([prior_boxes((480, 640), i, cell, "cpu") for i, cell in enumerate(cells)])
    assert error(priors, case["priors"]) < 1e-6
    assert error(candidates.boxes / size, case["raw"][..., :4]) < 1e-4
    assert error(candidates.scores, case["raw"][..., 4]) < 1e-4
    (faces,) = select_faces(candidates, (480, 640), 0.3)
    assert error(faces.boxes / size, case["boxes"][:, :4]) < 1e-4
    assert error(faces.scores, case["boxes"][:, 4]) < 1e-4
    assert torch.equal(faces.boxes.round().long(), case["boxes_px"])
