"""Averages, schedules, states, logs, and what stops a run."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dp2.data.batch import Batch
from dp2.errors import OutputError, TrainingError, UnreadableCheckpoint
from dp2.models.stylegan.unet import StyleGANUnet
from dp2.training.average_style import settle_average_style
from dp2.training.checkpoints.checkpoint import Checkpoints
from dp2.training.checkpoints.nested import flattened, restored
from dp2.training.checkpoints.state import State
from dp2.training.distributed import Group
from dp2.training.ema import ExponentialAverage
from dp2.training.logs import JsonLines, TensorBoard, Wandb
from dp2.training.objectives.conditions import Conditions
from dp2.training.objectives.objective import Losses, Phase
from dp2.training.optimizers import build_optimizers
from dp2.training.precision import Precision
from dp2.training.schedules import WarmupDecay
from dp2.training.sheets import tiled
from dp2.training.stopping import Stop
from dp2.training.update import Updater

CPU = Group(0, 1, torch.device("cpu"))


class Single:
    """An objective of one weight whose loss is a number times it."""

    def __init__(self, factor: float) -> None:
        self.networks = {"generator": nn.Linear(1, 1, bias=False), "other": nn.Linear(1, 1, bias=False)}
        self.factor = factor

    def phases(self, step: int) -> list[Phase]:
        return [Phase("only", ("generator",), self.losses)]

    def losses(self, batch: Batch, chance: torch.Generator) -> Losses:
        weights = self.networks["generator"].weight.sum() + self.networks["other"].weight.sum()
        return Losses(self.factor * weights * batch.image.float().mean(), {})

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass


def updated(factor: float, precision: str = "fp32", micro: int = 1, clip: float | None = None) -> tuple[State, Single]:
    """After one update by gradient descent with a rate of 1, on pictures of ones."""
    objective = Single(factor)
    recipes = dict.fromkeys(objective.networks, lambda parameters: torch.optim.SGD(parameters, lr=1.0))
    average = ExponentialAverage(objective.networks["generator"], half_life=1, rampup=None)
    state = State(objective, build_optimizers(objective.networks, recipes), average)
    for network in objective.networks.values():
        nn.init.zeros_(network.weight)
    batch = Batch(torch.ones(1, 3, 2, 2, dtype=torch.uint8), torch.ones(1, 1, 2, 2, dtype=torch.bool))
    update = Updater(state, CPU, Precision(precision, CPU.device), micro, seed=0, clip=clip)
    update(objective.phases(0)[0], [(number, batch) for number in range(micro)])
    return state, objective


@pytest.mark.parametrize("micro", [1, 3])
def test_phase_moves_its_networks_alone_by_the_mean_gradient(micro: int) -> None:
    _, objective = updated(2.0, micro=micro)
    assert objective.networks["generator"].weight.item() == pytest.approx(-2.0)
    assert objective.networks["other"].weight.item() == 0


def test_gradients_are_clipped_by_their_norm() -> None:
    _, objective = updated(50.0, clip=3.0)
    assert objective.networks["generator"].weight.item() == pytest.approx(-3.0, rel=1e-4)


def test_value_that_is_not_finite_names_phase_and_step() -> None:
    with pytest.raises(TrainingError, match=r"phase only of step 0.*not finite"):
        updated(float("nan"))


def test_overflow_in_fp16_skips_the_step_and_lowers_the_scale() -> None:
    state, objective = updated(1e38, precision="fp16")
    assert objective.networks["generator"].weight.item() == 0
    assert state.scaler("only", Precision("fp16", CPU.device)).get_scale() == 2.0**15
    _, small = updated(0.5, precision="fp16")
    assert small.networks["generator"].weight.item() == pytest.approx(-0.5)


def test_unknown_precision_is_named() -> None:
    with pytest.raises(TrainingError, match="fp8"):
        Precision("fp8", CPU.device)


def test_missing_optimizer_is_named() -> None:
    with pytest.raises(TrainingError, match="trained are"):
        build_optimizers({"generator": nn.Linear(1, 1)}, {})


def test_average_has_its_half_life_and_ramps_up() -> None:
    average = ExponentialAverage(nn.Linear(1, 1), half_life=1000, rampup=0.05)
    assert average.decay(batch=500, images=10**6) == pytest.approx(0.5**0.5)
    assert average.decay(batch=10, images=1000) == pytest.approx(0.5 ** (10 / 50))
    assert average.decay(batch=10, images=0) == 0


def test_average_of_constant_weights_and_latest_buffers() -> None:
    network = nn.BatchNorm1d(2)
    average = ExponentialAverage(network, half_life=10, rampup=None)
    nn.init.constant_(network.weight, 3.0)
    network.running_mean.fill_(7.0)  # type: ignore[union-attr, operator]
    average.update(network, batch=10, images=0)
    assert average.network.weight.tolist() == [2.0, 2.0]  # halfway from 1
    assert average.network.running_mean.tolist() == [7.0, 7.0]  # type: ignore[union-attr, operator]


@given(st.integers(0, 200), st.integers(0, 40), st.integers(0, 60))
def test_warmup_and_decay_stay_between_their_ends(images: int, warmup: int, decay: int) -> None:
    schedule = WarmupDecay(images=100, warmup=warmup, decay=decay, final=0.1)
    assert 0 < schedule(images) <= 1
    if warmup <= images <= 100 - decay:
        assert schedule(images) == 1
    if decay:
        assert schedule(100 + images) == pytest.approx(0.1)


def test_schedule_that_does_not_fit_is_refused() -> None:
    with pytest.raises(TrainingError, match="exceed 10 images"):
        WarmupDecay(images=10, warmup=6, decay=5)


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=4)
    | st.lists(st.integers(0, 9)).map(torch.tensor),
    lambda below: (
        st.lists(below, max_size=3)
        | st.tuples(below, below)
        | st.dictionaries(st.integers(0, 9) | st.text(max_size=3), below, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@given(trees)
def test_nested_state_survives_json(tree: Any) -> None:
    layout, tensors = flattened(tree)
    assert same(restored(json.loads(json.dumps(layout)), tensors), tree)


def test_state_of_other_kinds_is_refused_with_its_place() -> None:
    with pytest.raises(TrainingError, match="a/1 is a ndarray"):
        flattened({"a": [1, np.zeros(1)]})


def test_latest_and_best_checkpoints_are_kept(tmp_path: Path) -> None:
    state, _ = updated(1.0)
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in range(1, 6):
        state.step = step
        checkpoints.save(state, best=step == 2)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.best() == 2


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    state, _ = updated(1.0)
    path = Checkpoints(tmp_path).save(state) / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UnreadableCheckpoint, match=r"step-000000000: is damaged"):
        Checkpoints(tmp_path).restore(state)


def test_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    state, _ = updated(1.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Checkpoints(tmp_path / "file" / "below").save(state)


def test_log_forgets_what_the_run_lost(tmp_path: Path) -> None:
    log = JsonLines(tmp_path, 0)
    for step in (1, 2, 3):
        log.numbers(step, 8 * step, {"loss": 0.5})
    with log.path.open("a") as file:
        file.write('{"step": 4, "ima')  # cut short by a kill
    assert [json.loads(line)["step"] for line in JsonLines(tmp_path, 16).path.read_text().splitlines()] == [1, 2]


def test_tensorboard_gets_the_numbers(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TensorBoard(tmp_path, 0)
    log.numbers(1, 8, {"loss": 0.5})
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(8, 0.5)]


def test_wandb_goes_on_with_the_run_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    fake = ModuleType("wandb")
    fake.init = lambda **given: opened.append(given["id"])
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for folder, images in (("a/faces", 0), ("a/faces", 8), ("b/faces", 0), ("a/faces", 0)):
        Wandb(tmp_path / folder, images)
    assert opened[0] == opened[1]
    assert len(set(opened)) == 3  # another folder of that name, and a fresh start, are other runs


def test_first_signal_is_noted_and_the_earlier_handler_comes_back() -> None:
    earlier = signal.getsignal(signal.SIGTERM)
    with Stop() as stop:
        assert stop.reason is None
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)
        assert stop.reason == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) == earlier
    assert Stop(minutes=0).reason == "its time is up"


def test_embedding_is_of_each_pixels_vertex() -> None:
    surface = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    vertices = torch.tensor([[[-1, 0], [1, 1]]])
    batch = Batch(
        torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.ones(1, 1, 2, 2, dtype=torch.bool), vertices=vertices
    )
    (found,) = Conditions(surface)(batch, ("embedding",)).values()
    assert found[0, :, 0].tolist() == [[0, 1], [0, 2], [0, 1]]
    assert found[0, :, 1].tolist() == [[3, 3], [4, 4], [1, 1]]
    with pytest.raises(TrainingError, match="needs keypoints"):
        Conditions()(batch, ("keypoints",))


def test_sheet_stands_samples_below_each_other() -> None:
    columns = [torch.full((2, 3, 4, 5), value) for value in (-1.0, 0.0, 1.0)]
    columns[2][1] = -1
    sheet = tiled(columns)
    assert sheet.shape == (8, 15, 3)
    assert sheet[0, ::5, 0].tolist() == [0, 128, 255]
    assert sheet[7, 14, 0] == 0


def test_batch_that_cannot_be_shared_is_refused() -> None:
    from dp2.training.settings import Training

    share = Training.micro
    settings: Any = SimpleNamespace(batch=12, micro_batch=None)
    assert share(settings, 3) == 4
    with pytest.raises(TrainingError, match="batch of 12 cannot be shared by 5"):
        share(settings, 5)


def test_the_average_style_is_that_of_the_weights():
    torch.manual_seed(0)
    network = StyleGANUnet(resolution=(32, 32), width=4, max_multiplier=2, z_channels=8, w_channels=8).eval()
    settle_average_style(network)
    styles = network.style(torch.randn(4000, 8, generator=torch.Generator().manual_seed(1)))
    spread = styles.std(0).mean()
    assert (network.style(torch.randn(1, 8), truncation=0.0)[0] - styles.mean(0)).abs().max() < 0.2 * spread
    plain = torch.nn.Linear(2, 2)
    settle_average_style(plain)
