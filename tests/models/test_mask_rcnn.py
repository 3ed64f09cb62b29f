"""Mask R-CNN, and what it shares with the other R-CNNs."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.ops import roi_align

from dp2.errors import CheckpointMismatch, DetectionError, UsageError
from dp2.models.fuse import PackedConv, can_pack, fuse_for_inference
from dp2.models.rcnn.base import resize_shortest_edge, shortest_edge_size
from dp2.models.rcnn.box_deltas import apply_deltas
from dp2.models.rcnn.mask_rcnn import MaskRCNN
from dp2.models.rcnn.paste_masks import paste_masks
from dp2.models.rcnn.resnet_fpn import Conv, FrozenBatchNorm2d
from dp2.models.rcnn.roi_align import RoiAlign, levels_of
from dp2.models.rcnn.roi_heads import PlaneOfClass, Selection
from dp2.models.rcnn.rpn import anchors_at

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


@pytest.fixture
def network(tmp_path: Path) -> Any:
    return make.loaded("mask_rcnn", tmp_path)


@pytest.fixture(scope="module")
def stored() -> Any:
    with np.load(DATA / "rcnn_cases.npz") as file:
        return dict(file)


@torch.inference_mode()
def detect(network: nn.Module, images: list[Tensor], selection: Selection = make.SELECTION, first: int = 0) -> Any:
    return network(images, make.SIZES[first : first + len(images)], selection)


def test_gives_the_stored_detections(network: nn.Module, stored: dict[str, np.ndarray]) -> None:
    for i, found in enumerate(detect(network, make.images("mask_rcnn"))):
        assert make.mismatches(f"mask_rcnn/{i}", found, stored) == []


def test_a_batch_gives_what_its_images_give_alone(network: nn.Module) -> None:
    images = make.images("mask_rcnn")
    together = detect(network, images)
    for i, image in enumerate(images):
        (alone,) = detect(network, [image], first=i)
        assert make.error(together[i].boxes, alone.boxes) < 1e-5
        assert torch.equal(together[i].classes, alone.classes)
        assert (together[i].masks != alone.masks).float().mean() < 1e-3


def test_fused_network_gives_the_same_and_leaves_the_image_alone(network: nn.Module) -> None:
    images = make.images("mask_rcnn")
    copies = [image.clone() for image in images]
    plain = detect(network, images)
    fused = detect(fuse_for_inference(network), images)
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in network.modules())
    assert any(isinstance(module, PackedConv) for module in network.modules()) == can_pack(network)
    assert all(torch.equal(image, copy) for image, copy in zip(images, copies, strict=True))
    for ours, theirs in zip(fused, plain, strict=True):
        assert make.error(ours.boxes, theirs.boxes) < 1e-4
        assert make.error(ours.scores, theirs.scores) < 1e-4
        assert (ours.masks != theirs.masks).float().mean() < 1e-3


@pytest.mark.parametrize("fused", [False, True])
def test_half_precision_still_detects(network: nn.Module, fused: bool) -> None:
    if fused:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            pytest.skip("this CPU has no instructions for packed bfloat16 convolutions")
        fuse_for_inference(network, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = detect(network, make.images("mask_rcnn")[:1])
    assert len(found.boxes)
    assert found.boxes.dtype == torch.float32
    assert found.masks.shape == (len(found.boxes), *make.SIZES[0])


def test_only_wanted_classes_get_masks(network: nn.Module) -> None:
    images = make.images("mask_rcnn")
    for found, wanted in zip(
        detect(network, images), detect(network, images, Selection(score_threshold=0.3, classes=(2,))), strict=True
    ):
        of_class = found.classes == 2
        assert torch.equal(wanted.scores, found.scores[of_class])
        assert torch.equal(wanted.masks, found.masks[of_class])


def test_nothing_found_is_an_empty_result(network: nn.Module) -> None:
    (found,) = detect(network, make.images("mask_rcnn")[:1], Selection(score_threshold=1.0))
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, *make.SIZES[0])


@pytest.mark.parametrize("broken", ["proposal_generator.rpn_head.conv.bias", "roi_heads.box_head.fc2.bias"])
def test_output_that_is_no_number_is_an_error_not_an_empty_frame(network: nn.Module, broken: str) -> None:
    with torch.no_grad():
        network.get_parameter(broken)[0] = torch.nan
    with pytest.raises(DetectionError, match="not finite"):
        detect(network, make.images("mask_rcnn")[:1])


def test_published_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    network = make.small("mask_rcnn")
    state = make.seeded(network) | {"roi_heads.extra.weight": torch.zeros(1)}
    with pytest.raises(CheckpointMismatch, match=r"roi_heads\.extra\.weight is unknown"):
        make.load_pickle(network, make.write_pickle(tmp_path / "m.pkl", state))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40))
def test_pasted_mask_equals_sampling_every_pixel(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    masks = torch.rand(2, 7, 7)
    corners = torch.rand(2, 2, 2).sort(dim=1).values * torch.tensor([width, height])
    boxes = corners.flatten(1) + torch.tensor([0.0, 0.0, 0.1, 0.1])
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    low, side = boxes[:, None, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None, None]
    grid = (torch.stack((x, y), dim=-1) - low) / side * 2 - 1
    soft = F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]
    assert ((paste_masks(masks, boxes, (height, width)) != (soft >= 0.5)) & ((soft - 0.5).abs() > 1e-4)).sum() == 0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.booleans(),
    st.sampled_from([0, 2]),
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_regions_equal_torchvision_on_their_own_level(
    seed: int, aligned: bool, ratio: int, layout: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(seed)
    levels = [torch.randn(2, 5, 64 >> i, 96 >> i, generator=generator) for i in range(4)]
    size = torch.tensor([384.0, 256.0])
    boxes = [(torch.rand(n, 2, 2, generator=generator).sort(dim=1).values * size).flatten(1) for n in (6, 3)]
    ours = RoiAlign(aligned, ratio)([level.contiguous(memory_format=layout) for level in levels], boxes, 7)
    chosen = levels_of(torch.cat(boxes), 4).split([6, 3])
    expected = []
    for image in range(2):
        for box, level in zip(boxes[image], chosen[image].tolist(), strict=True):
            x = levels[level][image : image + 1]
            expected.append(roi_align(x, [box[None]], 7, 0.25 / 2**level, ratio, aligned))
    assert torch.allclose(ours, torch.cat(expected), atol=1e-4)


def test_no_deltas_leave_boxes_and_doubling_keeps_their_centre() -> None:
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    assert torch.equal(apply_deltas(torch.zeros(1, 4), box, (1, 1, 1, 1)), box)
    twice = apply_deltas(torch.tensor([[0.0, 0.0, 5 * np.log(2), 5 * np.log(2)]]), box, (10, 10, 5, 5))
    assert torch.allclose(twice, torch.tensor([[0.0, 0.0, 40.0, 80.0]]), atol=1e-4)


def test_anchors_have_equal_areas_and_stand_on_the_grid() -> None:
    anchors = anchors_at(torch.arange(2 * 3 * 3), width=3, stride=8, size=32)
    sides = anchors[:, 2:] - anchors[:, :2]
    assert torch.allclose(sides.prod(dim=1), torch.tensor(1024.0))
    assert torch.allclose((sides[:, 1] / sides[:, 0])[:3], torch.tensor([0.5, 1.0, 2.0]))
    centers = (anchors[:, 2:] + anchors[:, :2]) / 2
    assert centers[::3].tolist() == [[x * 8, y * 8] for y in range(2) for x in range(3)]


def test_one_plane_equals_that_plane_of_all() -> None:
    layer, x, classes = PlaneOfClass(6, 4, 1), torch.randn(3, 6, 5, 5), torch.tensor([3, 0, 3])
    assert torch.allclose(layer(x, classes), layer(x)[torch.arange(3), classes], atol=1e-6)


def test_folding_and_packing_keep_a_sum_with_norm_and_relu() -> None:
    conv = Conv(6, 8, 3, stride=2, groups=2, norm=FrozenBatchNorm2d(8), relu=True).eval()
    for name, buffer in conv.norm.named_buffers():  # type: ignore[union-attr]
        buffer.copy_(torch.rand(8) + (0.5 if name == "running_var" else 0))
    block = nn.ModuleDict({"conv": conv})
    x, onto = torch.randn(2, 6, 9, 11), torch.randn(2, 8, 5, 6)
    with torch.inference_mode():
        expected = conv(x, onto=onto)
        assert torch.allclose(fuse_for_inference(block)["conv"](x, onto=onto.clone()), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 640), (800, 1067)), ((640, 480), (1067, 800)), ((100, 1000), (133, 1333))]
)
def test_resize_fits_the_shorter_edge_unless_the_longer_is_too_long(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert shortest_edge_size(*size) == expected
    small = resize_shortest_edge(torch.zeros(3, *size, dtype=torch.uint8), short=8, longest=13)
    assert small.dtype == torch.uint8
    with pytest.raises(UsageError):
        shortest_edge_size(0, 5)


@pytest.mark.parity
def test_names_and_shapes_are_the_published_ones() -> None:
    make.check_names("maskrcnn_X101", MaskRCNN, PARITY)


@pytest.mark.parity
@pytest.mark.skipif(os.environ.get("DP2_PARITY") != "1", reason="takes a minute; runs with DP2_PARITY=1")
@pytest.mark.parametrize("fused", [False, True])
def test_gives_the_published_output(tmp_path: Path, fused: bool) -> None:
    case, network, seen = make.full_case("maskrcnn_X101", MaskRCNN, PARITY, tmp_path, fused)
    image = resize_shortest_edge(case["inputs/image"])
    assert torch.equal(image.flip(0), case["inputs/resized"])
    with torch.inference_mode():
        (found,) = network([image], [(480, 640)], make.SELECTION)
    assert max(make.stage_errors(case, seen).values()) < 1e-4
    assert make.error(found.boxes, case["instances/pred_boxes"]) < 1e-4
    assert make.error(found.scores, case["instances/scores"]) < 1e-4
    assert torch.equal(found.classes, case["instances/pred_classes"])
    assert torch.equal(found.classes == 0, case["wrapper_out/is_person"])
    assert (found.masks[:12] != case["wrapper_out/segmentation"]).float().mean() < 1e-3


@pytest.mark.parametrize("size", [(26, 27), (12, 9)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
def test_packed_convolution_equals_the_plain_one_at_every_size(size: tuple[int, int], kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    conv = Conv(256, 260, kernel, stride=stride, relu=True).eval()
    x = torch.randn(2, 256, *size)
    onto = torch.randn(2, 260, -(-size[0] // stride), -(-size[1] // stride))
    with torch.inference_mode():
        expected = conv(x, onto=onto.clone())
        fused = fuse_for_inference(nn.ModuleDict({"conv": conv}))["conv"]
        assert torch.allclose(fused(x, onto=onto.clone()), expected, atol=1e-4)
