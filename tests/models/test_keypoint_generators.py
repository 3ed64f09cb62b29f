"""DeepPrivacy1's generator and TriaGAN."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dp2.errors import UsageError
from dp2.models import deep_privacy1, triagan
from dp2.models.deep_privacy1 import LEFTOVERS, DeepPrivacy1
from dp2.models.triagan import TriaGAN, draw_keypoints

DATA = Path(__file__).resolve().parents[1] / "fixtures"
PARITY = Path(__file__).resolve().parents[2].parent / "shared" / "parity"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load(DATA / "make_keypoint_generators.py")


def error(ours: Tensor, theirs: Tensor) -> float:
    return float(((ours - theirs).norm() / theirs.norm()).detach())


def small(name: str, **changes: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """A narrow network with seeded weights, and two inputs."""
    network: nn.Module
    if name == "deep_privacy1":
        network, rule = DeepPrivacy1(**make.DP1), make.deep_privacy1_weight
        x, wanted = make.inputs(2, 128, 128, 7, 512), ("condition", "mask", "z", "keypoints")
    else:
        network, rule = TriaGAN(**make.TRIAGAN | changes), make.triagan_weight
        x = make.inputs(2, 36, 20, 5, 16)
        wanted = ("condition", "mask", "z", "keypoints", "joint_map", "silhouette")
    network.load_state_dict(make.seeded({k: tuple(v.shape) for k, v in network.state_dict().items()}, rule))
    return network.eval(), {k: x[k] for k in wanted}


both = pytest.mark.parametrize("name", ["deep_privacy1", "triagan"])


@both
def test_equals_the_published_operations_one_by_one(name: str) -> None:
    network, x = small(name)
    expected = torch.from_numpy(np.load(DATA / "keypoint_generators.npz")[name])
    with torch.inference_mode():
        output = network(**x)
    step = -(-output.shape[-1] // expected.shape[-1])
    assert error(output[:, :, ::step, ::step], expected) < 1e-5


@both
def test_batch_equals_one_at_a_time(name: str) -> None:
    network, x = small(name)
    with torch.inference_mode():
        together = network(**x)
        alone = torch.cat([network(**{k: v[i : i + 1] for k, v in x.items()}) for i in range(2)])
    assert error(together, alone) < 1e-5


@both
def test_what_the_mask_keeps_is_kept_exactly(name: str) -> None:
    network, x = small(name)
    with torch.inference_mode():
        output = network(**x)
    keep = x["mask"].expand_as(output) == 1
    assert torch.equal(output[keep], x["condition"][keep])


@both
def test_half_precision_stays_close_and_answers_in_float32(name: str) -> None:
    network, x = small(name)
    with torch.inference_mode():
        half = network.for_inference(torch.bfloat16)(**x)  # type: ignore[operator]
        assert half.dtype == torch.float32
        assert error(half, network(**x)) < 0.05


@both
def test_gradients_reach_every_parameter(name: str) -> None:
    network, x = small(name)
    network(**x).square().mean().backward()
    dead = [k for k, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


@both
def test_inference_mode_and_training_mode_agree(name: str) -> None:
    network, x = small(name)
    with torch.inference_mode():
        inferred = network(**x)
    assert error(network(**x), inferred) < 1e-6


@both
def test_missing_condition_is_named(name: str) -> None:
    network, x = small(name)
    del x["keypoints"]
    with pytest.raises(UsageError, match="keypoints"):
        network(**x)


def test_onnx_runtime_gives_the_same(tmp_path: Path) -> None:
    # fewer layers, as the exporter takes its time over each
    network, x = small("triagan", multipliers=(1, 2), blocks=1, middle_blocks=1)
    program = torch.onnx.export(network, kwargs=x, dynamo=True, verbose=False, optimize=False)
    assert program is not None
    program.save(tmp_path / "g.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {k: v.numpy() for k, v in x.items()})
    with torch.inference_mode():
        assert error(torch.from_numpy(output), network(**x)) < 1e-3


def test_exported_program_takes_any_batch() -> None:
    network, x = small("deep_privacy1")
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(network, (), x, dynamic_shapes={k: {0: batch} for k in x})
    one = {k: v[:1] for k, v in x.items()}
    with torch.inference_mode():
        assert error(program.module()(**one), network(**one)) < 1e-5


@both
def test_traced_network_gives_the_same(name: str) -> None:
    network, x = small(name)
    with torch.inference_mode():
        traced = torch.jit.trace(network, example_kwarg_inputs=x, check_trace=False)
        one = {k: v[:1] for k, v in x.items()}
        assert error(traced(**one), network(**one)) < 1e-6


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_layout_does_not_matter(memory_format: torch.memory_format) -> None:
    network, x = small("triagan")
    with torch.inference_mode():
        expected = network(**x)
        moved = {k: v.contiguous(memory_format=memory_format) if v.ndim == 4 else v for k, v in x.items()}
        assert error(network.to(memory_format=memory_format)(**moved), expected) < 1e-5  # type: ignore[call-overload]


def test_truncation_moves_between_centre_and_style() -> None:
    network, x = small("triagan")
    assert isinstance(network, TriaGAN)
    network.set_w_centers(torch.stack([torch.full((32,), float(i)) for i in range(3)]))
    drawn = network.style(x["z"])
    assert torch.equal(network.style(x["z"], truncation=0)[0], network.style_net.w_avg)
    assert torch.allclose(network.style(x["z"], truncation=1), drawn)
    centred = network.style(x["z"], truncation=0, center_index=torch.tensor([2, 4]))
    assert centred[:, 0].tolist() == [2, 1]


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), st.booleans())
def test_a_keypoint_is_one_pixel_where_it_is_seen(x: float, y: float, seen: bool) -> None:
    plane = draw_keypoints(torch.tensor([[[x, y, float(seen)]]]), (36, 20))[0, 0]
    assert plane.sum() == seen
    if seen:
        row, column = plane.nonzero()[0].tolist()
        assert abs(row - min(max(y, 0) * 36, 35)) <= 0.51
        assert abs(column - min(max(x, 0) * 20, 19)) <= 0.51


def test_oldest_deep_privacy1_names_are_understood() -> None:
    old = {
        "decoder.basic_block0.layers.0.weight": 0,
        "decoder.skip_connection1.conv.layers.0.bias": 1,
        "encoder.basic_block5.layers.3.bias": 2,
        "encoder.from_rgb.conv.layers.0.weight": 3,
        "decoder.to_rgb.0.weight": 4,
        "rgb_convolutions.128.bias": 5,
    }
    assert deep_privacy1.rename_published({"parameters": old}) == {
        "decoder.basic_block4.layers.0.weight": 0,
        "decoder.skip_connection8.conv.layers.0.bias": 1,
        "encoder.basic_block128.layers.3.bias": 2,
        "from_rgb.0.weight": 3,
        "rgb_convolutions.128.bias": 5,
    }


def test_triagan_output_layer_counted_by_resolution_is_understood() -> None:
    state = {"decoder.to_rgb.5.weight": 1, "decoder.to_rgb.5.bias": 2, "from_rgb.weight": 3}
    assert triagan.rename_published(state) == {
        "decoder.to_rgb.weight": 1,
        "decoder.to_rgb.bias": 2,
        "from_rgb.weight": 3,
    }
    assert triagan.rename_published(triagan.rename_published(state)) == triagan.rename_published(state)


FULL: dict[str, dict[str, Any]] = {
    "triagan_L_im288": {
        "resolution": (288, 160),
        "width": 128,
        "multipliers": (1, 2, 4, 4, 4, 4),
        "keypoints": range(17),
        "joint_map": True,
        "silhouette": True,
        "layer_scale": True,
    },
    "fdf_triagan_L": {
        "resolution": (128, 128),
        "width": 256,
        "multipliers": (1, 2, 2, 2, 2),
        "keypoints": range(3),
        "joint_map": False,
        "silhouette": False,
        "layer_scale": False,
    },
}


def full(name: str) -> nn.Module:
    with torch.device("meta"):
        return DeepPrivacy1() if name == "deep_privacy1" else TriaGAN(**FULL[name])


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    if not PARITY.is_dir():
        pytest.skip("../shared/parity is not there")
    return load(PARITY / "recipe.py")


@pytest.mark.parity
@pytest.mark.parametrize("name", ["deep_privacy1", *FULL])
def test_names_and_shapes_are_the_published_ones(name: str, recipe: ModuleType) -> None:
    published = {k: tuple(v) for k, v in json.loads((PARITY / f"{name}.json").read_text())["keys"].items()}
    ours = {k: tuple(v.shape) for k, v in full(name).state_dict().items()}
    assert {k: v for k, v in published.items() if k not in LEFTOVERS} == ours
    if name == "deep_privacy1":
        assert set(published) - set(ours) == LEFTOVERS


@pytest.mark.parity
@pytest.mark.parametrize("name", ["deep_privacy1", *FULL])
def test_gives_the_published_output(name: str, recipe: ModuleType) -> None:
    case, _ = recipe.case(name)
    state = (deep_privacy1 if name == "deep_privacy1" else triagan).rename_published(recipe.weights(name))
    network = full(name).to_empty(device="cpu").eval()
    network.load_state_dict({k: v for k, v in state.items() if k not in LEFTOVERS})
    x = {k: case[f"inputs/{k}"] for k in ("condition", "mask", "keypoints")}
    if name == "triagan_L_im288":
        x |= {"joint_map": case["inputs/joint_map"], "silhouette": 1 - case["inputs/maskrcnn_mask"]}
    with torch.inference_mode():
        if isinstance(network, DeepPrivacy1):
            assert error(network(**x, z=case["z"]), case["output"]) < 1e-5
            return
        assert isinstance(network, TriaGAN)
        network.set_w_centers(case["w_centers"])
        assert error(network.style(case["z"], truncation=0.7), case["w_trunc07"]) < 1e-5
        w = network.style(case["z"], truncation=0.3, center_index=torch.tensor([5]))
        assert error(w, case["w_mm_idx5_t03"]) < 1e-5
        assert error(network(**x, w=w), case["output_mm"]) < 1e-4
