"""Choices as options of the command line and of Python."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dp2 import load_anonymizer
from dp2.choose.choosing import Choosing
from dp2.cli.commands.anonymize import anonymize
from dp2.config.choice import choosing
from dp2.errors import ConfigError, UsageError


@pytest.fixture
def photo(tmp_path: Path, pair: np.ndarray) -> Path:
    Image.fromarray(pair).save(tmp_path / "pair.png")
    return tmp_path / "pair.png"


def run(*words: object) -> Result:
    return CliRunner().invoke(anonymize, ["face_blur", *map(str, words)])


def test_rules_from_the_command_line_are_kept_to_and_counted(photo: Path, tmp_path: Path, pair: np.ndarray) -> None:
    report = tmp_path / "report.json"
    words = ["--exclude", "0,0,0.5,1", "--always", "0.9,0.9,1,1", "--report-json", report]
    result = run(photo, "-o", tmp_path / "out.png", *words)
    assert result.exit_code == 0, result.output
    total = json.loads(report.read_text())["total"]
    assert (total["kept"], total["changed"]) == ({"face": 1}, {"face": 1, "zone": 1})
    after = np.asarray(Image.open(tmp_path / "out.png"))
    assert np.array_equal(after[40:190, 80:210], pair[40:190, 80:210])
    assert (after[271:, 541:] == 0).all()
    assert "embedding" not in report.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exclude", "1,2,3"], "zone"),
        (["--keep", "a.png", "--only", "b.png"], "exclude each other"),
        (["--keep", "nowhere", "--matching", "nothing"], "no config"),
    ],
)
def test_choices_that_cannot_be_are_wrong_usage(photo: Path, words: list[str], said: str) -> None:
    result = run(photo, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") < 4


def test_load_anonymizer_takes_choices_and_choosing_replaces_them(photo: Path) -> None:
    image = Image.open(photo)
    first = load_anonymizer("face_blur", skip=["face"], seed=3)
    assert first.seed == 3
    assert first.anonymize(image).changed == {}
    second = choosing(first, min_size=110, always=[(0, 0, 0.1, 0.1)])
    result = second.anonymize(image)
    assert result.kept.total() + result.changed["face"] == 2
    assert result.changed["zone"] == 1
    assert choosing(second).chooser is None
    with pytest.raises(UsageError, match="no choice"):
        choosing(first, kep=["a"])
    with pytest.raises(ConfigError, match="nearest"):
        load_anonymizer("face_blur", kep=["a"])


def test_a_config_may_bring_its_own_choices(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from dp2.config import L, load_config\n"
        "from dp2.choose.choosing import Choosing\n"
        "from dp2.choose.rules import Rules\n"
        "_base = load_config('face_solid')\n"
        "globals().update({str(key): _base[key] for key in _base})\n"
        "anonymizer.chooser = L(Choosing)(rules=L(Rules)(min_size=30))\n"
    )
    assert isinstance(load_anonymizer(path).chooser, Choosing)


def test_three_of_nineteen_stay(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real network: references of another size and brightness than in the photo."""
    monkeypatch.setenv("DP2_WEIGHTS", os.fspath(shared_data / "weights"))
    image = Image.open(shared_data / "images" / "regjeringen.jpg").convert("RGB")
    listed = [(316, 299, 400, 409), (1106, 277, 1186, 391), (1681, 606, 1770, 718)]
    (tmp_path / "family").mkdir()
    for number, (x0, y0, x1, y1) in enumerate(listed):
        crop = image.crop((x0 - 50, y0 - 60, x1 + 50, y1 + 60))
        size = [round(side * (0.7, 1.5, 0.6)[number]) for side in crop.size]
        crop.resize(size).point(lambda v, gain=(0.6, 1.3, 0.8)[number]: min(v * gain, 255)).save(
            tmp_path / "family" / f"{number}.png"
        )
    result = load_anonymizer("face_blur", keep=[tmp_path / "family"]).anonymize(image)
    assert result.kept == {"face": 3}
    assert result.changed["face"] >= 16
    before = np.asarray(image)
    for x0, y0, x1, y1 in listed:
        assert np.array_equal(result.image[y0:y1, x0:x1], before[y0:y1, x0:x1])
