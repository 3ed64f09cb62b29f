from __future__ import annotations

import copy
import pickle
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from dp2.errors import CheckpointMismatch, OutputError, UnsafeCheckpoint
from dp2.weights.importing import import_checkpoint
from dp2.weights.loading import generator_state, load_checkpoint, load_strict, network_state
from dp2.weights.registry import find

STATE = {"conv.weight": torch.randn(2, 3, 1, 1), "conv.bias": torch.randn(2), "style_net.w_avg": torch.randn(4)}
CENTERS = torch.randn(8, 4)


class StyleNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w_avg", torch.zeros(4))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.style_net = StyleNet()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


LAYOUTS = {
    "EMA_generator": {"EMA_generator": STATE, "generator": {"x": torch.ones(1)}, "D_optimizer": {"lr": 0.1}},
    "EMA before the running average": {"running_average_generator": {"x": torch.ones(1)}, "EMA_generator": STATE},
    "running average": {"running_average_generator": STATE, "epoch": 3},
    "DeepPrivacy1, nested": {"running_average_generator": {"parameters": STATE}},
    "DeepPrivacy1, nested above": {"parameters": {"running_average_generator": STATE}},
    "imported": STATE,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("centers", ["none", "beside", "inside"])
def test_published_layouts_give_the_averaged_generator(layout, centers, tmp_path):
    content = copy.deepcopy(LAYOUTS[layout])
    if centers == "beside":
        content["w_centers"] = CENTERS
    if centers == "inside":
        inner = content
        while "conv.bias" not in inner:
            inner = next(
                inner[key] for key in ("EMA_generator", "running_average_generator", "parameters") if key in inner
            )
        inner["style_net.w_centers"] = CENTERS
    torch.save(content, tmp_path / "x.ckpt")
    state, found = generator_state(load_checkpoint(tmp_path / "x.ckpt"))
    assert same(state, STATE)
    assert found is None if centers == "none" else torch.equal(found, CENTERS)
    assert load_strict(Net(), state) == ()


def test_checkpoint_without_a_generator_is_named():
    with pytest.raises(CheckpointMismatch, match=r"x\.ckpt"):
        generator_state({"EMA_generator": {}}, "x.ckpt")
    with pytest.raises(CheckpointMismatch, match="epoch"):
        generator_state({"epoch": 3, **STATE}, "x.ckpt")
    with pytest.raises(CheckpointMismatch, match="w_centers"):
        generator_state({"EMA_generator": STATE, "w_centers": torch.ones(3)}, "x.ckpt")


def test_every_value_arrives_and_leftovers_are_returned():
    net = Net()
    state = {**STATE, "pose.1.linear.weight": torch.ones(1), "old": torch.ones(1)}
    assert load_strict(net, state, leftovers=("pose.*.linear.*", "old")) == ("pose.1.linear.weight", "old")
    assert same(dict(net.state_dict()), STATE)


def test_misfits_are_all_found_and_the_network_is_left_alone():
    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = {"conv.weight": torch.ones(2, 3, 3, 3), "conv.bias": torch.ones(2, dtype=torch.long), "new": torch.ones(1)}
    with pytest.raises(CheckpointMismatch) as caught:
        load_strict(net, state, source="x.ckpt")
    text = str(caught.value)
    for problem in ("x.ckpt", "Net", "style_net.w_avg is missing", "new is unknown", "(2, 3, 3, 3), not (2, 3, 1, 1)",
                    "torch.int64, not torch.float32"):  # fmt: skip
        assert problem in text
    assert same(dict(net.state_dict()), before)


def test_ten_problems_are_listed():
    state = {**STATE, **{f"extra{i:02}": torch.ones(1) for i in range(14)}}
    with pytest.raises(CheckpointMismatch) as caught:
        load_strict(Net(), state)
    assert len(re.findall("is unknown", str(caught.value))) == 10
    assert "and 4 more" in str(caught.value)


def test_old_names_are_renamed_first():
    old = {key.replace("conv.", "conv.3."): value for key, value in STATE.items()}
    with pytest.raises(CheckpointMismatch):
        load_strict(Net(), old)
    net = Net()
    load_strict(net, old, rename=lambda state: {re.sub(r"^conv\.\d+\.", "conv.", key): v for key, v in state.items()})
    assert same(dict(net.state_dict()), STATE)


def test_detectron2_pickle_with_stale_anchors_loads_by_its_named_leftovers(tmp_path):
    model = OrderedDict((key, value.numpy()) for key, value in STATE.items())
    model |= {
        "proposal_generator.anchor_generator.cell_anchors.0": np.zeros((3, 4), np.float32),
        "pixel_mean": np.ones(3),
    }
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": model, "__author__": "Detectron2 Model Zoo"}, 2))
    state = network_state(load_checkpoint(path))
    with pytest.raises(CheckpointMismatch, match="cell_anchors"):
        load_strict(Net(), state)
    net = Net()
    assert len(load_strict(net, state, find("mask_rcnn/X101").leftovers)) == 2
    assert same(dict(net.state_dict()), STATE)


@pytest.mark.parametrize("key", ["model", "state_dict", "net_state_dict", None])
def test_detector_tables_are_found(key):
    assert same(network_state({key: STATE, "epoch": 1} if key else STATE), STATE)


def test_imported_generator_equals_the_published_one(tmp_path):
    source = tmp_path / "fdf_stylegan.ckpt"
    tied = {**STATE, "tied": STATE["conv.bias"]}
    torch.save({"EMA_generator": tied, "w_centers": CENTERS, "generator": STATE}, source)
    before = source.read_bytes()
    target = import_checkpoint(source)
    assert target == tmp_path / "fdf_stylegan.safetensors"
    assert source.read_bytes() == before
    state, centers = generator_state(load_checkpoint(target))
    assert set(state) == set(tied)
    assert all(torch.equal(state[key], value) for key, value in tied.items())
    assert torch.equal(centers, CENTERS)
    with safe_open(target, "pt") as file:
        assert file.metadata()["source"] == "fdf_stylegan.ckpt"
    with pytest.raises(OutputError, match="exists already"):
        import_checkpoint(source)
    assert import_checkpoint(source, overwrite=True) == target


def test_import_keeps_a_detectors_table(tmp_path):
    source = tmp_path / "model.pkl"
    source.write_bytes(pickle.dumps({"model": {"w": np.arange(3)}, "__author__": "x"}))
    assert load_file(import_checkpoint(source, tmp_path / "out.safetensors"))["w"].tolist() == [0, 1, 2]


def test_failed_import_leaves_nothing(tmp_path):
    source = tmp_path / "evil.pkl"
    source.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UnsafeCheckpoint):
        import_checkpoint(source)
    assert [file.name for file in Path(tmp_path).iterdir()] == ["evil.pkl"]


def test_safetensors_are_read(tmp_path):
    save_file(STATE, tmp_path / "x.bin")
    assert same(dict(sorted(load_checkpoint(tmp_path / "x.bin").items())), dict(sorted(STATE.items())))
