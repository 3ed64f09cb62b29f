"""The configs of published generators train, on made-up sets of their datasets' formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from dp2.config import load_config
from dp2.data.synthetic import synthesize
from dp2.training.run import Request, default_output, rehearse

SMALL = ("generator.width=2", "discriminator.width=2", "training.workers=0", "training.precision=fp32")
CONFIGS = {  # config: (format, its folder below BASE_DATASET_DIR)
    "configs/fdf/stylegan.py": ("fdf256", "fdf256"),
    "configs/fdf/stylegan_fdf128.py": ("fdf128", "fdf"),
    "configs/fdf/triagan_L.py": ("fdf128", "fdf"),
    "configs/fdh/styleganL.py": ("fdh", "fdh"),
    "configs/fdh/styleganL_nocse.py": ("fdh", "fdh"),
    "configs/fdh/triagan/L_im288.py": ("fdh", "fdh"),
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny set of each format, where configs look for it."""
    root = tmp_path_factory.mktemp("data")
    for kind, folder in dict(CONFIGS.values()).items():
        synthesize(kind, root / folder, count=6)
    return root


@pytest.mark.parametrize("config", CONFIGS)
def test_one_step_of_everything(config: str, sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_DATASET_DIR", str(sets))
    monkeypatch.setenv("DP2_HOME", str(sets / "home"))
    assert rehearse(Request(config=config, overrides=SMALL)).step == 1


def test_output_is_named_for_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_OUTPUT_DIR", "elsewhere")
    assert default_output("configs/fdh/triagan/L_im288.py") == Path("elsewhere/fdh/triagan/L_im288")


def test_rates_of_the_lazy_discriminator_are_the_published_ones() -> None:
    from dp2.config import build

    recipe = build(load_config("configs/fdf/stylegan.py").training.optimizers.discriminator)
    import torch

    group = recipe([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]
    assert group["lr"] == pytest.approx(0.002 * 16 / 17)
    assert group["betas"] == pytest.approx((0, 0.99 ** (16 / 17)))
