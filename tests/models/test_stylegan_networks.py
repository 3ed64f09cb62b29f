"""Operators, StyleGAN U-Net and StyleGAN2 discriminator."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor, nn

from dp2.errors import UsageError
from dp2.models import winograd
from dp2.models.stylegan import ops
from dp2.models.stylegan.discriminator import StyleGAN2Discriminator
from dp2.models.stylegan.fused_unet import channel_moments
from dp2.models.stylegan.unet import StyleGANUnet

DATA = Path(__file__).resolve().parents[1] / "fixtures"
PARITY = Path(__file__).resolve().parents[2].parent / "shared" / "parity"
PUBLISHED: dict[str, dict[str, Any]] = {
    "fdf_stylegan": {"resolution": (256, 256)},
    "fdf128_stylegan": {"resolution": (128, 128), "width": 128, "max_multiplier": 4},
    "fdh_styleganL": {"resolution": (288, 160), "embedding_channels": 17},
    "fdh_styleganL_nocse": {"resolution": (288, 160), "linear_skip": False},
}
CRITICS = {"sg2d_fdf256": (256, 256), "sg2d_fdf128": (128, 128), "sg2d_fdh": (288, 160)}

full_parity = [
    pytest.mark.parity,
    pytest.mark.skipif(not (PARITY / "recipe.py").exists(), reason="needs ../shared/parity"),
]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


make = load(DATA / "make_stylegan_cases.py")


@pytest.fixture(scope="module")
def stored() -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    with safe_open(DATA / "stylegan_cases.safetensors", "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["ops"])  # noqa: SIM118


def error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).norm() / theirs.norm())


def small_generator(name: str = "face") -> tuple[StyleGANUnet, dict[str, Tensor]]:
    case = make.GENERATORS[name]
    network = StyleGANUnet(**case).eval()
    network.load_state_dict(make.seeded(make.shapes_of(network)), strict=True)
    x = make.inputs(case)
    return network, {key: x[key] for key in ("condition", "mask", "z", "embedding") if key in x}


def small_critic(name: str = "critic", batch: int = 2) -> tuple[StyleGAN2Discriminator, list[Tensor]]:
    case = make.DISCRIMINATORS[name]
    network = StyleGAN2Discriminator(**case).eval()
    network.load_state_dict(make.seeded(make.shapes_of(network)), strict=True)
    x = make.inputs(case, batch)
    return network, [x["image"], x["condition"], x["mask"]]


def operate(call: dict[str, Any], tensors: dict[str, Tensor]) -> Tensor:
    """Run a stored call; its names of arguments are the published ones."""
    names = {"b": "bias", "w": "weight"}
    args = {
        names.get(key, key): tensors[value] if isinstance(value, str) and "/" in value else value
        for key, value in call["args"].items()
    }
    if call["op"] == "upfirdn2d":
        padding = args["padding"]
        args["padding"] = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    result: Tensor = getattr(ops, call["op"])(**args)
    return result


@pytest.mark.parametrize("index", range(35))
def test_operator_equals_stored_result(index: int, stored: tuple[dict[str, Tensor], list[dict[str, Any]]]) -> None:
    tensors, calls = stored
    assert error(operate(calls[index], tensors), tensors[calls[index]["output"]]) < 1e-6


@pytest.mark.parametrize("name", make.GENERATORS)
@pytest.mark.parametrize("fused", [False, True])
@torch.no_grad()
def test_generator_equals_plain_equations(
    name: str, fused: bool, stored: tuple[dict[str, Tensor], list[dict[str, Any]]]
) -> None:
    network, x = small_generator(name)
    run = network.for_inference() if fused else network
    assert error(run(**x), stored[0][f"{name}/output"]) < 2e-5


@pytest.mark.parametrize("name", make.DISCRIMINATORS)
@torch.no_grad()
def test_discriminator_equals_plain_equations(
    name: str, stored: tuple[dict[str, Tensor], list[dict[str, Any]]]
) -> None:
    network, x = small_critic(name)
    assert error(network(*x), stored[0][f"{name}/output"]) < 2e-5


@pytest.mark.parametrize("fused", [False, True])
@torch.no_grad()
def test_batch_equals_samples_one_by_one(fused: bool) -> None:
    network, x = small_generator("body")
    run = network.for_inference() if fused else network
    alone = torch.cat([run(**{key: value[i : i + 1] for key, value in x.items()}) for i in range(2)])
    assert error(run(**x), alone) < 1e-5


@torch.no_grad()
def test_only_the_hole_is_painted() -> None:
    network, x = small_generator()
    for run in (network, network.for_inference()):
        painted = run(**x) - x["condition"]
        assert (painted * x["mask"]).abs().max() == 0
        assert (painted * (1 - x["mask"])).abs().mean() > 0.1


@torch.no_grad()
def test_folding_leaves_the_trainable_network_and_its_inputs_alone() -> None:
    network, x = small_generator()
    before = {key: value.clone() for key, value in {**network.state_dict(), **x}.items()}
    network.for_inference()(**x)
    assert all(torch.equal(value, before[key]) for key, value in {**network.state_dict(), **x}.items())


@torch.no_grad()
def test_folded_network_follows_in_half_precision() -> None:
    network, x = small_generator()
    y = network.for_inference(torch.bfloat16)(**x)
    assert y.dtype == torch.float32
    assert error(y, network(**x)) < 0.1


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.sampled_from([1, 5, 8, 16]), st.integers(1, 9), st.floats(-50, 50))
def test_moments_of_channels_equal_var_mean(batch: int, height: int, width: int, offset: float) -> None:
    x = (make.normal("x", (batch, 4, height, width)) + offset).contiguous(memory_format=torch.channels_last)
    mean, variance = channel_moments(x)
    exact, middle = torch.var_mean(x.double(), dim=(2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(mean.double(), middle, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(variance.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("height", [4, 24])
def test_winograd_equals_direct_convolution(height: int) -> None:
    x = make.normal("x", (2, 5, height, 12)).contiguous(memory_format=torch.channels_last)
    weight, bias = make.normal("w", (3, 5, 3, 3)), make.normal("b", (3,))
    ours = winograd.convolve(x, winograd.transform_kernel(weight), bias)
    assert error(ours, torch.nn.functional.conv2d(x, weight, bias, padding=1)) < 1e-5
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_winograd_is_for_wide_large_float_inputs_in_whole_tiles() -> None:
    assert winograd.pays(torch.empty(1, 256, 32, 20))
    for refused in ((1, 255, 32, 20), (1, 256, 34, 20), (1, 256, 16, 16)):
        assert not winograd.pays(torch.empty(refused))
    assert not winograd.pays(torch.empty(1, 256, 32, 20, dtype=torch.bfloat16))


def test_truncation_moves_styles_to_the_average_or_a_centre() -> None:
    network, x = small_generator()
    centers = make.normal("centers", (3, 8))
    w = network.style(x["z"])
    assert torch.equal(network.style(x["z"], truncation=1.7), w)
    assert torch.equal(network.style(x["z"], truncation=0.0), network.style_net.w_avg.expand(2, -1))
    with pytest.raises(UsageError, match="w_centers"):
        network.style(x["z"], truncation=0.5, center_index=torch.tensor([0, 1]))
    network.set_w_centers(centers)
    halfway = network.style(x["z"], truncation=0.5, center_index=torch.tensor([1, 5]))
    torch.testing.assert_close(halfway, (w + centers[[1, 2]]) / 2)
    assert "style_net.w_centers" not in network.state_dict()
    with pytest.raises(ValueError, match="w_centers must be"):
        network.set_w_centers(torch.zeros(3, 7))


@pytest.mark.parametrize("fused", [False, True])
def test_styles_stay_float32_under_autocast(fused: bool) -> None:
    network, x = small_generator()
    run = network.for_inference() if fused else network
    expected = run.style(x["z"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(run.style(x["z"]), expected)
        assert torch.isfinite(run(**x)).all()


def test_missing_inputs_are_named() -> None:
    network, x = small_generator("body")
    embedding = x.pop("embedding")
    for run in (network, network.for_inference()):
        with pytest.raises(UsageError, match="embedding"):
            run(**x)
        with pytest.raises(UsageError, match="style w or a latent z"):
            run(x["condition"], x["mask"], embedding=embedding)


def test_average_style_follows_training() -> None:
    network, _ = small_generator()
    before = network.style_net.w_avg.clone()
    network.style_net.update_average(torch.ones(4, 8), decay=0.75)
    torch.testing.assert_close(network.style_net.w_avg, 0.75 * before + 0.25)


def test_penalties_on_gradients_can_be_trained() -> None:
    critic, (image, condition, mask) = small_critic()
    image.requires_grad_()
    (slope,) = torch.autograd.grad(critic(image, condition, mask).sum(), image, create_graph=True)
    slope.square().sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in critic.parameters())
    assert critic.from_rgb.conv0.weight.grad.abs().sum() > 0  # type: ignore[union-attr]

    network, x = small_generator()
    w = network.style(x.pop("z")).detach().requires_grad_()
    painted = network(**x, w=w)
    (slope,) = torch.autograd.grad((painted * make.normal("y", painted.shape)).sum(), w, create_graph=True)
    slope.square().sum().sqrt().backward()
    for key, parameter in network.named_parameters():
        if "style_net" not in key and key != "to_rgb.bias":
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
    assert network.decoder[0].conv0.weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


class Positional(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, condition: Tensor, mask: Tensor, w: Tensor) -> Tensor:
        y: Tensor = self.network(condition, mask, w=w)
        return y


@torch.no_grad()
def test_generator_runs_alike_in_onnx_runtime(tmp_path: Path) -> None:
    network, x = small_generator()
    args = (x["condition"], x["mask"], network.style(x["z"]))
    path = tmp_path / "generator.onnx"
    torch.onnx.export(Positional(network).eval(), args, path, input_names=["c", "m", "w"], dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {name: np.asarray(value) for name, value in zip("cmw", args, strict=True)}
    assert error(torch.from_numpy(session.run(None, feed)[0]), network(**x)) < 1e-3


@torch.no_grad()
def test_generator_exports_and_operators_script() -> None:
    network, x = small_generator("body")
    for run in (network, network.for_inference()):
        program = torch.export.export(run, (x["condition"], x["mask"]), {"z": x["z"], "embedding": x["embedding"]})
        same = program.module()(x["condition"], x["mask"], z=x["z"], embedding=x["embedding"])
        assert error(same, network(**x)) < 1e-5
    with pytest.warns(FutureWarning, match="deprecated"):
        scripted = torch.jit.script(ops.modulated_conv2d)
    args = (x["condition"], make.normal("weight", (5, 3, 3, 3)), make.normal("style", (2, 3)), ops.fir_filter(), 2, 1)
    assert error(scripted(*args), ops.modulated_conv2d(*args)) < 1e-6


@pytest.mark.parametrize("up", [1, 2])
def test_modulating_activations_equals_modulating_weights(up: int) -> None:
    x, weight, style = make.normal("x", (2, 3, 6, 5)), make.normal("w", (4, 3, 3, 3)), make.normal("s", (2, 3))
    ours = ops.modulated_conv2d(x, weight, style, ops.fir_filter(), up=up, padding=1)
    for n in range(2):
        own = weight * style[n].view(1, 3, 1, 1)
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        alone = ops.conv2d_resample(x[n : n + 1], own, ops.fir_filter(), up=up, padding=1, flip_weight=up == 1)
        assert error(ours[n : n + 1], alone) < 1e-5


def test_resampling_refuses_what_it_cannot_do() -> None:
    x, weight = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 3, 3)
    with pytest.raises(ValueError, match="filter"):
        ops.conv2d_resample(x, weight, up=2)
    with pytest.raises(ValueError, match="direction"):
        ops.conv2d_resample(x, weight, ops.fir_filter(), up=2, down=2)
    with pytest.raises(ValueError, match="no activation named gelu"):
        ops.bias_act(x, act="gelu")


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_doubling_keeps_brightness_away_from_borders(channels: int, height: int, width: int) -> None:
    flat = torch.ones(1, channels, height + 2, width + 2)
    doubled = ops.upsample2d(flat, ops.fir_filter())
    assert doubled.shape[2:] == (2 * height + 4, 2 * width + 4)
    torch.testing.assert_close(doubled[:, :, 1:-1, 1:-1], torch.ones_like(doubled[:, :, 1:-1, 1:-1]))
    torch.testing.assert_close(ops.downsample2d(doubled, ops.fir_filter())[:, :, 1:-1, 1:-1], flat[:, :, 1:-1, 1:-1])


class TestFullParity:
    pytestmark = full_parity

    @pytest.mark.parametrize("fused", [False, True])
    @pytest.mark.parametrize("name", PUBLISHED)
    @torch.no_grad()
    def test_published_generator(self, name: str, fused: bool) -> None:
        recipe = load(PARITY / "recipe.py")
        t, _ = recipe.case(name)
        network = StyleGANUnet(**PUBLISHED[name]).eval()
        network.load_state_dict(recipe.weights(name), strict=True)
        network.set_w_centers(t["w_centers"])
        run = network.for_inference() if fused else network
        x = {"condition": t["inputs/condition"], "mask": t["inputs/mask"]}
        if "inputs/embedding" in t:
            x["embedding"] = torch.cat([t["inputs/embedding"], t["inputs/E_mask"]], dim=1)
        center = torch.tensor([5])
        assert error(run.style(t["z"]), t["w_from_z"]) < 1e-5
        assert error(run.style(t["z"], truncation=0.0), t["w_trunc0"].view(1, -1)) < 1e-5
        assert error(run.style(t["z"], truncation=0.7), t["w_trunc07"]) < 1e-5
        assert error(run.style(t["z"], truncation=0.3, center_index=center), t["w_mm_idx5_t03"]) < 1e-5
        if fused:
            styles = [run.style(t["z"]), t["w_trunc0"].view(1, -1), t["w_mm_idx5_t03"]]
            outputs = torch.cat([t["output"], t["output_trunc0"], t["output_mm"]])
            batch = {key: value.expand(3, -1, -1, -1) for key, value in x.items()}
            assert error(run(**batch, w=torch.cat(styles)), outputs) < 1e-4
        else:
            assert error(run(**x, z=t["z"]), t["output"]) < 1e-4

    @pytest.mark.parametrize("name", CRITICS)
    @torch.no_grad()
    def test_published_discriminator(self, name: str) -> None:
        recipe = load(PARITY / "recipe.py")
        t, _ = recipe.case(name)
        critic = StyleGAN2Discriminator(resolution=CRITICS[name]).eval()
        critic.load_state_dict(recipe.weights(name), strict=True)
        x = [t[f"inputs/{key}"] for key in ("img", "condition", "mask")]
        assert error(critic(*x), t["output"]) < 1e-4
        assert error(critic(*(part[:1] for part in x)), t["output_b1"]) < 1e-4
