"""Full disks, damaged or hostile files, groups that were stopped or set up wrongly, values that mark no best."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from torch import nn

from dp2.errors import Dp2Error, OutputError, TrainingError, UnreadableCheckpoint, UsageError
from dp2.training.checkpoints.checkpoint import Checkpoints
from dp2.training.checkpoints.nested import restored
from dp2.training.checkpoints.state import State
from dp2.training.distributed import Group
from dp2.training.ema import ExponentialAverage
from dp2.training.logs import JsonLines
from dp2.training.loop import train
from dp2.training.run import Request, export, run
from dp2.training.settings import Report
from dp2.training.stopping import Stop

CPU = torch.device("cpu")
BEST = """
training.report.measure = L("dp2.metrics.best.BestBy")(
    name="masked L1", metric=L("dp2.metrics.pixels.MaskedL1")(), data=L("toy_people.Blobs")(), limit=4
)
"""


class Large:
    """An objective with 4 MB of weights, never trained."""

    def __init__(self) -> None:
        self.networks = {"generator": nn.Linear(1000, 1000)}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def large() -> State:
    objective: Any = Large()
    return State(objective, {}, ExponentialAverage(objective.networks["generator"], half_life=1, rampup=None))


def test_full_disk_leaves_the_checkpoints_before(tmp_path: Path) -> None:
    checkpoints, state = Checkpoints(tmp_path), large()
    checkpoints.save(state)
    state.step = 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    earlier = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            checkpoints.save(state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, earlier)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000"]
    assert checkpoints.restore(large())


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    checkpoints, state = Checkpoints(tmp_path), large()
    checkpoints.save(state)
    nn.init.constant_(state.average.network.bias, 5.0)  # type: ignore[arg-type]
    checkpoints.save(state)
    again = large()
    assert checkpoints.restore(again)
    assert again.average.network.bias[0] == 5  # type: ignore[index]
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000"]


@pytest.mark.parametrize(
    "layout",
    [{}, {"dict": 3}, {"dict": [[1]]}, {"dict": [[[], 1]]}, {"list": None}, {"tensor": []}, {"tensor": "no"}, {"x": 1}],
    ids=str,
)
def test_layout_that_is_none_is_refused(layout: Any) -> None:
    with pytest.raises(UnreadableCheckpoint, match="do not belong together"):
        restored({"list": [layout]}, {})


@pytest.mark.parametrize(
    "numbers",
    [
        "[]", "3", '{"state": 1}', '{"config": [], "state": 1}', '{"config": {}}', '{"config": {}, "state": 1}',
        '{"config": {}, "state": {"dict": [["step", "x"]]}}',
        '{"config": {}, "state": {"dict": [["step", 1], ["images", 1], ["best", null], ["networks", 5]]}}',
    ],
)  # fmt: skip
def test_checkpoint_with_strange_numbers_is_refused(numbers: str, tmp_path: Path) -> None:
    (Checkpoints(tmp_path).save(large()) / "state.json").write_text(numbers)
    with pytest.raises(Dp2Error, match=str(tmp_path)):
        Checkpoints(tmp_path).restore(large())


def test_damaged_mark_and_damaged_weights_are_named_by_export(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    weights = checkpoints.save(large()) / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UnreadableCheckpoint, match=r"generator\.safetensors: is damaged"):
        export(tmp_path, tmp_path / "out.safetensors")
    (tmp_path / "checkpoints" / "best").write_text("../../x")
    with pytest.raises(UnreadableCheckpoint, match="best: is damaged"):
        export(tmp_path, tmp_path / "out.safetensors")
    with pytest.raises(UsageError, match=r"\.safetensors"):
        export(tmp_path, tmp_path / "out.pth")
    assert not list(tmp_path.glob("out*"))


def test_log_survives_lines_that_a_loss_of_power_left(tmp_path: Path) -> None:
    good = json.dumps({"step": 1, "images": 8})
    (tmp_path / "log.jsonl").write_bytes(b"\0" * 30 + b"\n" + good.encode() + b"\n[]\n\xff\xfe\n")
    assert JsonLines(tmp_path, 8).path.read_text() == good + "\n"


@pytest.mark.parametrize("name", ["log_every", "sheet_every", "save_every", "keep", "sheet_rows", "sheet_latents"])
def test_numbers_of_the_report_are_at_least_one(name: str) -> None:
    with pytest.raises(TrainingError, match=f"training.report.{name} is 0"):
        Report(**{name: 0})


@pytest.mark.parametrize("override", ["training.seed=-1", "training.seed=x", "training.workers=-1"])
def test_settings_that_are_none_are_named(config: Path, tmp_path: Path, override: str) -> None:
    with pytest.raises(Dp2Error, match=override.split("=")[0].removeprefix("training.")):
        run(Request(config=str(config), overrides=(override,), output=tmp_path / "out"))


def test_batch_that_the_discriminator_cannot_group_is_refused_in_words(config: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="groups of 4; 6 at once"):
        run(Request(config=str(config), overrides=("training.batch=6", "training.micro_batch=6"), output=tmp_path))


def test_group_stopped_with_its_workers_ends_with_a_checkpoint(
    config: Path, tmp_path: Path, command: Callable[..., list[str]], environment: dict[str, str]
) -> None:
    """As torchrun and batch systems do it: every process gets the signal."""
    words = ("training.workers=1", "training.images=1000000", "training.report.save_every=1000000")
    process = subprocess.Popen(
        command(config, *words, "-o", tmp_path / "out"),
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert "stopped (SIGTERM) after step" in rest
    assert Checkpoints(tmp_path / "out" / "checkpoints").steps()


class Behind(Group):
    """A process that found another checkpoint than the leader."""

    def any(self, flag: bool) -> bool:
        return flag

    def leaders(self, number: int) -> int:
        return number + 5


def test_processes_that_find_different_checkpoints_are_refused(config: Path, tmp_path: Path) -> None:
    from dp2.config import load_config
    from dp2.training.run import prepared

    training = prepared(load_config(str(config)), str(config))
    with pytest.raises(TrainingError, match="a folder they share"):
        train(training, tmp_path, Checkpoints(tmp_path / "c"), Behind(0, 1, CPU), Stop(), [])


def test_measure_marks_the_best_checkpoint_and_export_takes_it(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + BEST)
    run(Request(config=str(config), output=tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    values = {line["step"]: line["masked L1"] for line in lines if "masked L1" in line}
    assert sorted(values) == [1, 2, 3, 4]
    best = min(values, key=lambda step: values[step])
    assert Checkpoints(tmp_path / "checkpoints").best() == best
    assert export(tmp_path, tmp_path / "out.safetensors") == best


@pytest.mark.parametrize(("better", "expected"), [("lower", 0.25), ("", 0.25), ("higher", -0.25)])
def test_lower_is_better_for_every_metric(better: str, expected: float) -> None:
    from toy_people import Blobs

    from dp2.metrics.best import BestBy
    from dp2.metrics.metric import Result, Run, View
    from dp2.models.stylegan.unet import StyleGANUnet

    class Quarter:
        draws = 1

        def start(self, run: Run) -> None:
            pass

        def update(self, view: View) -> None:
            pass

        def results(self) -> list[Result]:
            return [Result("quarter", 0.25, better)]

    network = StyleGANUnet(resolution=[32, 32], width=4, max_multiplier=2, z_channels=8, w_channels=8).eval()
    assert BestBy(name="quarter", metric=Quarter(), data=Blobs(length=2))(network) == expected


def test_value_that_is_none_marks_no_best(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + BEST.replace("dp2.metrics.pixels.MaskedL1", "toy_people.Nothing"))
    run(Request(config=str(config), overrides=("training.images=16",), output=tmp_path))
    assert Checkpoints(tmp_path / "checkpoints").best() is None


def test_two_runs_in_one_folder_are_refused(config: Path, tmp_path: Path) -> None:
    request = Request(config=str(config), overrides=("training.images=8",), output=tmp_path)
    with FileLock(tmp_path / ".lock"), pytest.raises(TrainingError, match="another run is at work"):
        run(request)
    assert not Checkpoints(tmp_path / "checkpoints").steps()
    assert run(request).step == 1


def test_settings_of_torch_end_with_the_run(config: Path, tmp_path: Path) -> None:
    run(Request(config=str(config), overrides=("training.images=8",), output=tmp_path))
    assert torch.tensor([1e-40]).mul(1).item() > 0
