"""The wheel that users install carries the configs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, without the checkout around it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_installed_dp2_finds_all_configs_by_name(installed: Path, tmp_path: Path) -> None:
    code = (
        "import dp2.config as c, pathlib; names = c.config_names(); [c.load_config(n) for n in names]; "
        "c.load_config('configs/fdf/stylegan.py'); print(len(names), c.config_roots()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True,
        check=True, timeout=120,
    )  # fmt: skip
    count, root = done.stdout.split()
    assert int(count) == len(list((ROOT / "configs/anonymizers").rglob("[!_]*.py")))
    assert root == str(installed / "dp2/_configs")


def test_wheel_holds_the_registry_the_types_and_nothing_of_the_checkout(installed: Path) -> None:
    assert (installed / "dp2/weights/registry.toml").is_file()
    assert (installed / "dp2/py.typed").is_file()
    assert not (installed / "tests").exists()
    assert not (installed / "media").exists()
