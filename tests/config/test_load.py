"""Configs as calls: loading, importing each other, overriding, building."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dp2.config import L, apply_override, build, config_names, key_paths, load_config
from dp2.errors import ConfigError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


PART = "from fractions import Fraction\nfrom dp2.config import L\n"


def test_config_is_the_call(tmp_path: Path) -> None:
    path = write(tmp_path, "c.py", PART + "half = L(Fraction)(numerator=1, denominator=2)")
    assert build(load_config(path).half) == 0.5


def test_interpolation_reaches_another_top_level_name(tmp_path: Path) -> None:
    path = write(tmp_path, "c.py", PART + "n = 3\nthree = L(Fraction)(numerator='${n}')")
    assert build(load_config(path, ["n=7"]).three) == 7


def test_users_config_anywhere_imports_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "base.py", PART + "x = L(Fraction)(numerator=1)")
    path = write(tmp_path, "mine.py", "from .base import x\nx.numerator = 9")
    assert build(load_config(path).x) == 9


def test_relative_import_climbs_within_a_configs_folder(tmp_path: Path) -> None:
    write(tmp_path, "configs/defaults.py", "seed = 4")
    path = write(tmp_path, "configs/anonymizers/deep/a.py", "from ...defaults import seed")
    assert load_config(path).seed == 4


def test_changing_one_loaded_config_leaves_the_next_as_written(tmp_path: Path) -> None:
    path = write(tmp_path, "c.py", PART + "x = L(Fraction)(numerator=1)")
    load_config(path).x.numerator = 5
    assert load_config(path).x.numerator == 1


def test_private_names_modules_and_classes_are_no_content(tmp_path: Path) -> None:
    path = write(tmp_path, "c.py", PART + "import math\n_hidden = 1\nshown = 2\ndef f(): ...")
    assert list(load_config(path)) == ["shown"]


@pytest.mark.parametrize(
    ("override", "near"), [("detector.score_treshold=0.5", "detector.score_threshold"), ("sed=1", "seed")]
)
def test_unknown_key_names_the_nearest(override: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"nearest is {near}"):
        load_config("face_blur", [override])


def test_override_without_value_or_with_bad_yaml_is_refused(tmp_path: Path) -> None:
    tree = load_config(write(tmp_path, "c.py", "a = 1"))
    for bad in ("a", "=1", "a=[1,"):
        with pytest.raises(ConfigError):
            apply_override(tree, bad)


def test_plus_adds_a_key(tmp_path: Path) -> None:
    tree = load_config(write(tmp_path, "c.py", "a = {'b': 1}"), ["+a.c=[1, 2]"])
    assert tree.a.c == [1, 2]


def test_override_of_a_none_value_is_possible(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "c.py", "a = {'b': None}"), ["a.b=3"]).a.b == 3


def test_unknown_name_suggests_a_known_one() -> None:
    with pytest.raises(ConfigError, match="face_blur"):
        load_config("face_blurr")


def test_syntax_error_shows_its_own_line(tmp_path: Path) -> None:
    path = write(tmp_path, "broken.py", "a = 1\nb = (2\nc = 3")
    with pytest.raises(ConfigError, match=r"broken\.py, line 2"):
        load_config(path)


def test_error_inside_an_imported_config_names_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, "base.py", "x = 1\ny = 1 / 0")
    path = write(tmp_path, "mine.py", "from .base import x")
    with pytest.raises(ConfigError, match=r"base\.py, line 2: ZeroDivisionError"):
        load_config(path)


def test_error_of_a_constructor_is_told_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, "c.py", PART + "x = L(Fraction)(numerator=1, denominator=0)")
    with pytest.raises(ConfigError, match="ZeroDivision") as caught:
        build(load_config(path).x)
    assert "\n" not in str(caught.value)


def test_lambda_cannot_be_a_target() -> None:
    with pytest.raises(ConfigError, match="top level"):
        L(lambda: 1)


@pytest.mark.parametrize("name", config_names())
def test_every_config_loads_and_its_parts_are_named(name: str) -> None:
    tree = load_config(name)
    assert "anonymizer" in tree
    assert {"seed", "device", "anonymizer.detector", "anonymizer.fallback"} <= set(key_paths(tree))


def test_importing_a_config_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom dp2.config import config_names, load_config\n"
        "for name in config_names(): load_config(name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_import_dp2_is_light() -> None:
    code = "import dp2, sys; sys.exit(bool({'torch', 'cv2', 'numpy', 'hydra'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parameter_that_the_config_leaves_at_its_default_can_be_set() -> None:
    assert build(load_config("face_blur", ["tracker.max_gap=1.5"]).tracker).max_gap == 1.5


def test_target_is_never_suggested() -> None:
    with pytest.raises(ConfigError, match=r"nearest is tracker\.max_gap"):
        load_config("face_blur", ["tracker.mx_gap=1"])


def test_colour_with_a_hash_is_no_comment() -> None:
    assert load_config("face_solid", ["synthesizer.fill.color=#00ff00"]).synthesizer.fill.color == "#00ff00"


def test_class_of_a_config_file_cannot_be_a_target(tmp_path: Path) -> None:
    path = write(tmp_path, "c.py", "from dp2.config import L\nclass A: ...\na = L(A)()")
    with pytest.raises(ConfigError, match="importable module"):
        load_config(path)


def test_file_under_the_bare_name_of_a_config_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("face_blur").write_text("raise SystemExit('a stranger ran this')")
    assert "anonymizer" in load_config("face_blur")
