"""Keypoint and mask R-CNN."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from dp2.models.fuse import fuse_for_inference
from dp2.models.rcnn.base import resize_shortest_edge
from dp2.models.rcnn.keypoint_rcnn import KeypointRCNN, locate_keypoints

DATA = Path(__file__).resolve().parents[1] / "fixtures"
PARITY = Path(__file__).resolve().parents[2].parent / "shared" / "parity"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load(DATA / "make_rcnn_cases.py")


@pytest.mark.parametrize("fused", [False, True])
def test_gives_the_stored_detections(tmp_path: Path, fused: bool) -> None:
    network = make.loaded("keypoint_rcnn", tmp_path)
    if fused:
        fuse_for_inference(network)
    with torch.inference_mode():
        results = network(make.images("keypoint_rcnn"), make.SIZES, make.SELECTION)
    with np.load(DATA / "rcnn_cases.npz") as stored:
        for i, found in enumerate(results):
            assert make.mismatches(f"keypoint_rcnn/{i}", found, stored) == []


def test_half_precision_still_detects(tmp_path: Path) -> None:
    network = make.loaded("keypoint_rcnn", tmp_path)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = network(make.images("keypoint_rcnn")[:1], make.SIZES[:1], make.SELECTION)[0]
    assert found.keypoints.shape == (len(found.boxes), 5, 3)
    assert found.keypoints.dtype == torch.float32


def test_a_sharp_peak_is_found_where_it_stands_in_the_box() -> None:
    heatmaps = torch.zeros(1, 2, 56, 56)
    heatmaps[0, 0, 14, 42] = 40
    heatmaps[0, 1, 41, 0] = 40
    points = locate_keypoints(heatmaps, torch.tensor([[100.0, 200.0, 212.0, 312.0]]))
    places = torch.tensor([[100 + 42.5 * 2, 200 + 14.5 * 2], [100 + 0.5 * 2, 200 + 41.5 * 2]])
    assert (points[0, :, :2] - places).abs().max() <= 1


@pytest.mark.parity
def test_names_and_shapes_are_the_published_ones() -> None:
    make.check_names("d2_keypoint_maskrcnn_R50", KeypointRCNN, PARITY)


@pytest.mark.parity
@pytest.mark.skipif(os.environ.get("DP2_PARITY") != "1", reason="takes a minute; runs with DP2_PARITY=1")
@pytest.mark.parametrize("fused", [False, True])
def test_gives_the_published_output(tmp_path: Path, fused: bool) -> None:
    case, network, _ = make.full_case("d2_keypoint_maskrcnn_R50", KeypointRCNN, PARITY, tmp_path, fused)
    with torch.inference_mode():
        image = resize_shortest_edge(case["inputs/image"].float())
        (found,) = network([image], [(480, 640)], make.SELECTION)
    assert make.error(found.scores, case["output/scores"]) < 1e-4
    assert make.error(found.keypoints[..., :2], case["output/keypoints"][..., :2]) < 1e-4
    assert make.error(found.keypoints[..., 2], case["output/keypoints"][..., 2]) < 1e-4
    assert (found.masks[:8] != case["output/segmentation"]).float().mean() < 1e-3
