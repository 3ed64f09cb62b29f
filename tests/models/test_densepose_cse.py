"""DensePose with continuous surface embeddings."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dp2.models.fuse import fuse_for_inference
from dp2.models.nearest_vertices import index_vertices
from dp2.models.rcnn.base import resize_shortest_edge
from dp2.models.rcnn.densepose_cse import DensePoseCSE, SurfaceDetections, body_masks, closest_vertices
from dp2.models.rcnn.densepose_heads import AtrousConv
from dp2.models.rcnn.roi_heads import Selection

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
both = pytest.mark.parametrize("name", ["densepose_cse", "densepose_cse_r50"])


@torch.inference_mode()
def detect(network: nn.Module, selection: Selection = make.SELECTION) -> Any:
    return network(make.images("densepose_cse"), make.SIZES, selection)


@both
@pytest.mark.parametrize("fused", [False, True])
def test_gives_the_stored_detections(name: str, fused: bool, tmp_path: Path) -> None:
    network = make.loaded(name, tmp_path)
    if fused:
        fuse_for_inference(network)
    with np.load(DATA / "rcnn_cases.npz") as stored:
        for i, found in enumerate(detect(network)):
            assert make.mismatches(f"{name}/{i}", found, stored) == []


def test_a_picture_without_people_is_not_decoded(tmp_path: Path) -> None:
    network = make.loaded("densepose_cse", tmp_path)
    decoded: list[int] = []
    network.get_submodule("roi_heads.decoder").register_forward_hook(lambda *_: decoded.append(1))
    for found in detect(network, Selection(score_threshold=1.0)):
        assert found.body.shape == (0, 112, 112)
        assert found.embedding.shape == (0, 16, 112, 112)
    assert decoded == []


def test_half_precision_still_detects(tmp_path: Path) -> None:
    network = make.loaded("densepose_cse", tmp_path)
    with torch.autocast("cpu", torch.bfloat16):
        found = detect(network)[0]
    assert len(found.boxes)
    assert found.embedding.dtype == torch.float32


def test_body_fills_its_box_and_nothing_else() -> None:
    body = torch.ones(2, 112, 112, dtype=torch.bool)
    body[1, :56] = False
    boxes = torch.tensor([[3, 5, 20, 9], [0, 0, 10, 30]])
    masks = body_masks(SurfaceDetections(boxes, torch.ones(2), body, torch.zeros(2, 16, 112, 112)), (40, 20))
    assert masks[0].sum() == masks[0, 5:9, 3:20].sum() == 4 * 17
    assert masks[1].sum() == masks[1, 15:30, 0:10].sum() == 15 * 10


def test_vertex_of_a_pixel_is_the_nearest_one() -> None:
    torch.manual_seed(0)
    embedding, vertices = torch.randn(2, 16, 20, 31), torch.randn(500, 16)
    body = torch.rand(2, 20, 31) > 0.4
    distances = torch.cdist(embedding.permute(0, 2, 3, 1).reshape(-1, 16).double(), vertices.double())
    nearest = distances.argmin(dim=1).view(2, 20, 31)
    index = index_vertices(vertices)
    assert torch.equal(closest_vertices(embedding, body, index), nearest * body)
    assert not closest_vertices(embedding, torch.zeros_like(body), index).any()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 1000), st.sampled_from([0.0, 0.2, 1.0]))
def test_vertex_on_a_surface_is_the_nearest_one(seed: int, count: int, noise: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    angles = torch.rand(count, 2, generator=generator) * 6
    waves = torch.randn(2, 16, generator=generator)
    vertices = torch.nn.functional.normalize(torch.cos(angles @ waves), dim=1)
    chosen = torch.randint(count, (100,), generator=generator)
    points = vertices[chosen] * 0.7 + noise * torch.randn(100, 16, generator=generator)
    distances = torch.cdist(points.double(), vertices.double())
    found = index_vertices(vertices).nearest(points)
    # Two vertices may be equally near, up to rounding
    assert torch.allclose(distances.gather(1, found[:, None])[:, 0], distances.amin(dim=1), atol=1e-5)


def test_vertex_embeddings_have_length_one(tmp_path: Path) -> None:
    embeddings = make.loaded("densepose_cse", tmp_path).vertex_embeddings()
    assert embeddings.shape == (300, 16)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(300))


@pytest.mark.parametrize("rate", [6, 12, 56])
def test_atrous_convolution_without_taps_in_the_padding_is_the_same(rate: int) -> None:
    conv, x = AtrousConv(4, 5, rate), torch.randn(2, 4, 28, 28)
    expected = torch.nn.functional.conv2d(x, conv.weight, padding=rate, dilation=rate)
    assert torch.allclose(conv(x), expected, atol=1e-5)


@pytest.mark.parity
def test_names_and_shapes_are_the_published_ones() -> None:
    make.check_names("densepose_cse_R101_DL_soft", DensePoseCSE, PARITY)


@pytest.mark.parity
@pytest.mark.skipif(os.environ.get("DP2_PARITY") != "1", reason="takes a minute; runs with DP2_PARITY=1")
@pytest.mark.parametrize("fused", [False, True])
def test_gives_the_published_output(tmp_path: Path, fused: bool) -> None:
    case, network, seen = make.full_case("densepose_cse_R101_DL_soft", DensePoseCSE, PARITY, tmp_path, fused)
    with torch.inference_mode():
        (found,) = network([resize_shortest_edge(case["inputs/image"])], [(480, 640)], make.SELECTION)
    assert max(make.stage_errors(case, seen).values()) < 1e-4
    assert torch.equal(found.boxes, case["wrapper_out/bbox_XYXY"])
    assert make.error(found.scores, case["wrapper_out/scores"]) < 1e-4
    assert make.error(found.embedding[:4], case["wrapper_out/instance_embedding"]) < 1e-4
    assert (found.body[:4] != case["wrapper_out/instance_segmentation"].bool()).float().mean() < 1e-3
    assert (body_masks(found, (480, 640))[:4] != case["wrapper_out/im_segmentation"]).float().mean() < 1e-3
    assert make.error(network.vertex_embeddings()[::10], case["embed_map"]) < 1e-4
