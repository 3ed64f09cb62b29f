"""Training runs as users start, stop, kill and resume them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dp2.errors import TrainingError
from dp2.training.checkpoints.checkpoint import GENERATOR, Checkpoints
from dp2.training.run import Request, export, run

Shell = Callable[..., subprocess.CompletedProcess]


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint."""
    path = Checkpoints(folder / "checkpoints").path(step)
    return {**load_file(path / "state.safetensors"), **load_file(path / GENERATOR)}


def log_of(folder: Path) -> list[dict]:
    """A run's log without its speed."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[key].double() - b[key].double()).abs().max()) for key in a)


def train(config: Path, output: Path, *overrides: str, fresh: bool = False) -> int:
    return run(Request(config=str(config), overrides=overrides, output=output, fresh=fresh)).step


EVERYTHING = """
training.objective.path_length = L("dp2.training.objectives.stylegan2.PathLength")(interval=3)
training.objective.augmentation = L("dp2.training.augmentation.augment.AdaptiveAugment")(
    batch="${training.batch}", interval=1, ramp=16
)
training.schedule = L("dp2.training.schedules.WarmupDecay")(images=32, warmup=16, decay=8)
training.precision = "bf16"
training.channels_last = True
training.clip = 10.0
"""


@pytest.mark.parametrize("more", ["", EVERYTHING], ids=["plain", "everything"])
def test_resumed_run_equals_unbroken_one_to_the_last_bit(config: Path, tmp_path: Path, more: str) -> None:
    config.write_text(config.read_text() + more)
    assert train(config, tmp_path / "whole") == 4
    assert train(config, tmp_path / "parts", "training.images=8") == 1
    assert train(config, tmp_path / "parts", "training.images=24") == 3
    assert train(config, tmp_path / "parts") == 4
    assert difference(weights(tmp_path / "whole", 4), weights(tmp_path / "parts", 4)) == 0
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")
    assert all(abs(value) < 1e4 for line in log_of(tmp_path / "whole") for value in line.values())


def test_run_begins_with_the_networks_of_an_earlier_one(config: Path, tmp_path: Path) -> None:
    train(config, tmp_path / "first")
    frozen = ["training.images=8", "training.optimizers.generator.lr=0", f"training.initial={tmp_path / 'first'}"]
    train(config, tmp_path / "second", *frozen)
    for key, value in load_file(Checkpoints(tmp_path / "first" / "checkpoints").path(4) / GENERATOR).items():
        if key != "style_net.w_avg":
            assert torch.equal(weights(tmp_path / "second", 1)[key], value), key


def test_seed_decides_the_run(config: Path, tmp_path: Path) -> None:
    train(config, tmp_path / "a", "training.images=8")
    train(config, tmp_path / "b", "training.images=8", "training.seed=1")
    assert difference(weights(tmp_path / "a", 1), weights(tmp_path / "b", 1)) > 0.1


def test_compiled_run_trains_the_same(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compile_module(module, backend="aot_eager"))
    config.write_text(
        f'{config.read_text()}training.objective.path_length = L("dp2.training.objectives.stylegan2.PathLength")()\n'
    )
    shorter = ["training.images=16", "training.micro_batch=8"]
    train(config, tmp_path / "plain", *shorter)
    train(config, tmp_path / "compiled", *shorter, "training.compile=true")
    assert difference(weights(tmp_path / "plain", 2), weights(tmp_path / "compiled", 2)) < 1e-5


def test_fresh_starts_over(config: Path, tmp_path: Path) -> None:
    train(config, tmp_path / "out", "training.images=16")
    assert train(config, tmp_path / "out", "training.images=8", fresh=True) == 1
    assert not list((tmp_path / "out" / "sheets").iterdir())  # none of the earlier run either
    assert Checkpoints(tmp_path / "out" / "checkpoints").steps() == [1]
    assert [line["step"] for line in log_of(tmp_path / "out")] == [1]


def test_checkpoint_of_another_config_is_refused_by_name(config: Path, tmp_path: Path) -> None:
    train(config, tmp_path / "out", "training.images=8")
    with pytest.raises(TrainingError, match=r"training.objective.r1 was 1.0, is 3"):
        train(config, tmp_path / "out", "training.objective.r1=3")
    assert train(config, tmp_path / "out", "training.images=16", "training.report.keep=2") == 2


def test_two_processes_equal_one_with_the_same_batch(config: Path, tmp_path: Path, shell: Shell) -> None:
    config.write_text(config.read_text() + EVERYTHING.replace("bf16", "fp32"))
    done = shell(config, "-o", tmp_path / "two", processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished after step 4") == 1
    train(config, tmp_path / "one")
    assert difference(weights(tmp_path / "one", 4), weights(tmp_path / "two", 4)) < 1e-4
    for one, two in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, abs=1e-4)


PORTRAITS = """
from dp2.config import L

generator = L("dp2.models.portrait.unet.PortraitUnet")(widths=[4, 8, 8, 8, 8], z_channels=6, w_channels=12)
training = L("dp2.training.settings.Training")(
    objective=L("dp2.training.objectives.portrait_vae.PortraitObjective")(
        generator="${generator}",
        encoder=L("dp2.models.portrait.critics.PortraitEncoder")(z_channels=6),
        discriminator=L("dp2.models.portrait.critics.PortraitDiscriminator")(widths=[4, 8, 8, 8, 8]),
        features=L("toy_people.untrained_features")(),
        adversary_from=0,
        alone=1,
        pool=8,
    ),
    data=L("toy_people.Faces")(),
    optimizers={
        name: L("torch.optim.Adam")(_partial_=True, lr=0.002) for name in ("generator", "encoder", "discriminator")
    },
    images=48,
    batch=8,
    device="cpu",
)
"""


def test_earlier_fakes_of_every_process_outlive_a_stop(tmp_path: Path, shell: Shell) -> None:
    config = tmp_path / "portraits.py"
    config.write_text(PORTRAITS)
    for images, folder in ((48, "whole"), (32, "parts"), (48, "parts")):
        done = shell(config, f"training.images={images}", "-o", tmp_path / folder, processes=2)
        assert done.returncode == 0, done.stderr
    whole, parts = weights(tmp_path / "whole", 6), weights(tmp_path / "parts", 6)
    assert difference(whole, parts) == 0
    pools = [value for key, value in whole.items() if key.endswith("images") and value.dtype == torch.bfloat16]
    assert len(pools) == 2
    assert not torch.equal(*pools)


def test_terminated_run_finishes_its_step_and_says_so(
    config: Path, tmp_path: Path, command: Callable[..., list[str]], environment: dict[str, str]
) -> None:
    process = subprocess.Popen(
        command(config, "training.images=1000000", "training.report.save_every=1000000", "-o", tmp_path / "out"),
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped (SIGTERM) after step" in rest
    (step,) = Checkpoints(tmp_path / "out" / "checkpoints").steps()
    assert log_of(tmp_path / "out")[-1]["step"] == step


def test_run_killed_while_saving_goes_on_from_the_checkpoint_before(
    config: Path, tmp_path: Path, command: Callable[..., list[str]], environment: dict[str, str]
) -> None:
    folder = tmp_path / "out" / "checkpoints"
    process = subprocess.Popen(
        command(config, "training.images=1000000", "-o", tmp_path / "out"), env=environment, stdout=subprocess.DEVNULL
    )
    while len(Checkpoints(folder).steps()) < 2:
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(random.Random(0).uniform(0, 0.1))
    while not list(folder.glob(".part-*/*.safetensors")):  # in the middle of a save
        assert process.poll() is None
    process.kill()
    process.wait()
    last = Checkpoints(folder).steps()[-1]
    lost = log_of(tmp_path / "out")[-1]["step"] - last
    assert 0 <= lost <= 1  # a checkpoint is made at each step here
    images = (last + 1) * 8
    assert train(config, tmp_path / "out", f"training.images={images}") == last + 1
    assert not list(folder.glob(".part-*"))
    train(config, tmp_path / "whole", f"training.images={images}")
    assert difference(weights(tmp_path / "out", last + 1), weights(tmp_path / "whole", last + 1)) == 0
    assert log_of(tmp_path / "out") == log_of(tmp_path / "whole")


def test_dry_run_goes_through_everything_and_leaves_nothing(config: Path, tmp_path: Path, shell: Shell) -> None:
    done = shell(config, "-o", tmp_path / "out", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 step of 4 images, a sheet, a checkpoint and its loading" in done.stdout
    assert not (tmp_path / "out").exists()


def test_config_without_training_is_named(shell: Shell) -> None:
    done = shell("configs/anonymizers/face_blur.py")
    assert done.returncode == 2
    assert "has no `training` section" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_exported_generator_is_what_its_config_loads(config: Path, tmp_path: Path, dtype: str) -> None:
    from dp2.synthesize.generators import GeneratorSource

    train(config, tmp_path / "out", "training.images=16")
    target = tmp_path / "generator.safetensors"
    assert export(tmp_path / "out", target, dtype=dtype) == 2
    config.write_text(config.read_text() + f"\nweights = {str(target)!r}\n")
    network = GeneratorSource(str(config)).network()
    average = load_file(Checkpoints(tmp_path / "out" / "checkpoints").path(2) / GENERATOR)
    for key, value in network.state_dict().items():  # type: ignore[attr-defined]
        torch.testing.assert_close(value, average[key], rtol=1e-3 if dtype == "fp16" else 0, atol=1e-5)
