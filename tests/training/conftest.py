"""A training run small enough for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

CONFIG = """
from dp2.config import L

generator = L("dp2.models.stylegan.unet.StyleGANUnet")(
    resolution=[32, 32], width=4, max_multiplier=2, z_channels=8, w_channels=8
)
discriminator = L("dp2.models.stylegan.discriminator.StyleGAN2Discriminator")(
    resolution=[32, 32], width=4, max_multiplier=2
)
training = L("dp2.training.settings.Training")(
    objective=L("dp2.training.objectives.stylegan2.StyleGAN2")(
        generator="${generator}", discriminator="${discriminator}", r1=1.0, r1_interval=2
    ),
    data=L("toy_people.Blobs")(),
    optimizers={
        "generator": L("torch.optim.Adam")(_partial_=True, lr=0.002, betas=[0.0, 0.99]),
        "discriminator": L("dp2.training.optimizers.lazy_adam")(_partial_=True, lr=0.002, interval=2),
    },
    images=32,
    batch=8,
    micro_batch=4,
    seed=0,
    device="cpu",
    report=L("dp2.training.settings.Report")(log_every=8, sheet_every=16, save_every=8, sheet_rows=2, keep=3),
)
"""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch):
    """Sums in one order; and the dataset of `toy_people` under its dotted name."""
    monkeypatch.syspath_prepend(str(HERE))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The file of a config that trains in seconds."""
    path = tmp_path / "tiny.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def command() -> Callable[..., list[str]]:
    """The command line of `train.py`."""

    def build(*arguments: object, processes: int = 1) -> list[str]:
        start = [sys.executable]
        if processes > 1:
            start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        return [*start, str(ROOT / "train.py"), *map(str, arguments)]

    return build


@pytest.fixture
def environment() -> dict[str, str]:
    """Of subprocesses."""
    return {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def shell(command: Callable[..., list[str]], environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess]:
    """Runs `train.py` to its end."""

    def run(*arguments: object, processes: int = 1) -> subprocess.CompletedProcess:
        return subprocess.run(
            command(*arguments, processes=processes), env=environment, capture_output=True, text=True, timeout=120
        )

    return run
