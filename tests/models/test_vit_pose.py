"""ViTPose: published outputs, crops and peaks."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dp2.models.vit_pose import BASE, HUGE, LARGE, Size, ViTPose, cut, decode, surrounding
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


make = load(DATA / "make_vit_pose.py")


def error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs).norm() / theirs.double().norm())


@st.composite
def boxes(draw: st.DrawFn) -> list[int]:
    x0, y0 = draw(st.integers(-50, 300)), draw(st.integers(-50, 300))
    return [x0, y0, x0 + draw(st.integers(1, 400)), y0 + draw(st.integers(1, 400))]


def test_gives_the_stored_heat_maps_and_keypoints() -> None:
    with torch.inference_mode(), np.load(DATA / "vit_pose.npz") as stored:
        heatmaps = make.small()(cut(make.picture(), make.BOXES))
        assert error(heatmaps, torch.from_numpy(stored["heatmaps"])) < 1e-3  # stored in half precision
        assert error(decode(heatmaps, make.BOXES), torch.from_numpy(stored["keypoints"])) < 1e-5


def test_batch_equals_one_at_a_time() -> None:
    network, crops = make.small(), cut(make.picture(), make.BOXES)
    with torch.inference_mode():
        together = network(crops)
        for row in range(len(crops)):
            assert error(together[row], network(crops[row : row + 1])[0]) < 1e-5


def test_nobody_gives_nothing() -> None:
    crops = cut(make.picture(), [])
    assert crops.shape == (0, 3, 256, 192)
    assert decode(torch.zeros(0, 17, 64, 48), []).shape == (0, 17, 3)


@given(boxes())
def test_crop_is_four_by_three_around_the_box(box: list[int]) -> None:
    x0, y0, x1, y1 = surrounding(box)
    width, height = max(x1 - x0, 1), max(y1 - y0, 1)
    assert abs(height * 3 - width * 4) <= 2 * 4
    assert abs((x0 + x1) - (box[0] + box[2])) <= 2
    assert abs((y0 + y1) - (box[1] + box[3])) <= 2
    assert x0 <= box[0] + 1
    assert y1 >= box[3] - 1


@settings(deadline=None, max_examples=20)
@given(boxes())
def test_nothing_outside_the_box_is_seen(box: list[int]) -> None:
    picture = make.picture()
    hidden = picture.clone()
    hidden[:, max(box[1], 0) : max(box[3], 0), max(box[0], 0) : max(box[2], 0)] = 0
    black = cut(torch.zeros_like(picture), [box])
    assert torch.equal(cut(hidden, [box]), black)


@settings(deadline=None)
@given(boxes(), st.integers(0, 63), st.integers(0, 47))
def test_peak_comes_back_to_its_place_in_the_picture(box: list[int], row: int, column: int) -> None:
    heatmaps = torch.zeros(1, 17, 64, 48)
    heatmaps[:, :, row, column] = 0.7
    x0, y0, x1, y1 = surrounding(box)
    x, y, score = decode(heatmaps, [box])[0, 5].tolist()
    assert x == pytest.approx(x0 + (x1 - x0) * column / 48, abs=1e-3)
    assert y == pytest.approx(y0 + (y1 - y0) * row / 64, abs=1e-3)
    assert score == pytest.approx(0.7)


@pytest.mark.parametrize(("size", "millions"), [(BASE, 90), (LARGE, 309), (HUGE, 637)])
def test_sizes_are_the_published_ones(size: Size, millions: int) -> None:
    with torch.device("meta"):
        network = ViTPose(size)
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6) == millions


@pytest.mark.parity
@pytest.mark.skipif(os.environ.get("DP2_PARITY") != "1", reason="takes half a minute; runs with DP2_PARITY=1")
@pytest.mark.parametrize(("name", "size"), [("vitpose_vit_base", BASE), ("vitpose_vit_huge", HUGE)])
def test_gives_the_published_keypoints(name: str, size: Size, tmp_path: Path) -> None:
    if not PARITY.is_dir():
        pytest.skip("../shared/parity is not there")
    recipe = load(PARITY / "recipe.py")
    case, _ = recipe.case(name)
    torch.save({"state_dict": recipe.weights(name)}, tmp_path / "vit.pth")
    network = ViTPose(size).eval()
    assert load_strict(network, network_state(load_checkpoint(tmp_path / "vit.pth"))) == ()
    people = case["inputs/boxes"].tolist()
    with torch.inference_mode():
        crops = cut(case["inputs/image"], people)
        heatmaps = network(crops)
    assert error(crops, case["cap/images"]) < 1e-6
    assert error(heatmaps, case["cap/heatmaps"]) < 1e-4
    assert error(decode(heatmaps, people), case["output"]) < 1e-6
