"""YAML from pipelines and overrides: plain, small, without control characters; everything else is one line."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from dp2.config import apply_override, load_config
from dp2.detect.combine.scale import network_size
from dp2.detect.faces.mtcnn import MTCNN
from dp2.errors import ConfigError, UsageError
from dp2.peekingduck.parse import load_pipeline
from dp2.plain_yaml import parse_yaml

ALIASES = "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n" for below, name in pairwise("abcdefghijklm")
)  # ten of ten of ten …
ODD = {
    "nul": r'"a\0b"',
    "escape": r'"\e[31m"',
    "no such day": "2001-02-30",
    "a day": "2001-02-03",
    "a set": "!!set {a, b}",
    "bytes": "!!binary aGVsbG8=",
    "object": "!!python/object/apply:os.system [true]",
    "many digits": "1" * 5000,
    "list as key": "{[1]: 2}",
    "deep": "[" * 2000 + "]" * 2000,
    "rather deep": "[" * 80 + "]" * 80,
    "long": "[" + "1," * 20_000 + "]",
    "aliases": f"a: &a [x, x, x, x, x, x, x, x, x, x]\n{ALIASES}",
    "alias of itself": "&a [*a]",
    "merged": "{<<: 5}",
    "unclosed": "[1",
    "tag": "!unknown 5",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_yaml_is_one_line_everywhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(ODD[name])
    tree = load_config("face_blur")
    for key in ("detector.score_threshold", "+detector.own"):
        with pytest.raises(ConfigError) as caught:
            apply_override(tree, f"{key}={ODD[name]}")
        assert len(str(caught.value)) < 500
    with pytest.raises(UsageError, match=r"YAML"):
        load_pipeline(_pipeline(tmp_path), [f"draw.mosaic_bbox.mosaic_level={ODD[name]}"])
    if "\n" not in ODD[name]:
        (tmp_path / "odd.yml").write_text(f"nodes:\n- input.visual:\n    source: {ODD[name]}\n- model.mtcnn\n")
        with pytest.raises(UsageError, match=r"odd\.yml"):
            load_pipeline(tmp_path / "odd.yml")


def test_plain_values_stay_what_they_are() -> None:
    assert parse_yaml("{a: [1, 2.5, yes, null, text], b: &x {c: 1}, d: *x}") == {
        "a": [1, 2.5, True, None, "text"], "b": {"c": 1}, "d": {"c": 1},
    }  # fmt: skip


@pytest.mark.parametrize("key", ["detector..x", ".", "a.b.c", "+[", "["])
def test_odd_keys_are_one_line(key: str) -> None:
    with pytest.raises(ConfigError):
        apply_override(load_config("face_blur"), f"{key}=1")


@pytest.mark.parametrize(
    "setting",
    [
        "input.visual: {source: a.mp4, resize: {do_resizing: true, width: 16384, height: 16384}}",
        "input.visual: {source: a.mp4, resize: {do_resizing: true, width: 0, height: 9}}",
        "input.visual: {source: 1000000000000}",
        "input.visual: {source: -1}",
        "draw.mosaic_bbox: {mosaic_level: 1000000000}",
        "draw.mosaic_bbox: {mosaic_level: 0}",
        "draw.blur_bbox: {blur_kernel_size: 1000000000}",
        "output.screen: {window_size: {width: 1000000, height: 1000000}}",
    ],
)
def test_setting_that_would_cost_gigabytes_is_refused(setting: str, tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(f"nodes:\n- {setting}\n")
    with pytest.raises(UsageError, match=r"p\.yml"):
        load_pipeline(tmp_path / "p.yml")


def test_scale_that_would_cost_gigabytes_is_refused() -> None:
    for scale in ((100_000, 100_000), 100.0, (1, 10**9)):
        with pytest.raises(UsageError, match="pixels"):
            network_size(scale, (1920, 1080), 32)
    assert network_size(1.0, (20_000, 20_000), 32) == (20_000, 20_000)
    with pytest.raises(UsageError, match="factor"):
        MTCNN(factor=0.9999)


def test_pipe_is_no_pipeline(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "p.yml")
    with pytest.raises(UsageError, match="no file"):
        load_pipeline(tmp_path / "p.yml")


def test_aliases_cost_neither_time_nor_memory(tmp_path: Path, verdicts: Callable[..., dict[str, str]]) -> None:
    texts = {
        "wide": "&a [" + "1," * 9000 + "]\n",
        "list of one list": "[" + "&a [" + "1," * 5000 + "]" + ", *a" * 5000 + "]",
        "ten of ten": ODD["aliases"],
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    told = verdicts(
        "from pathlib import Path\nfrom dp2.plain_yaml import parse_yaml\nfrom dp2.errors import UsageError\n"
        "def work(name):\n    try: parse_yaml(Path(name).read_text())\n"
        "    except ValueError as error: raise UsageError(str(error))\n",
        [str(tmp_path / name) for name in texts],
        memory=1 << 28,
    )
    assert [told[str(tmp_path / name)] for name in texts] == ["fine", *["UsageError: it is too large or too deep"] * 2]


def _pipeline(folder: Path) -> Path:
    path = folder / "plain.yml"
    path.write_text(
        "nodes:\n- input.visual: {source: a.mp4}\n- model.mtcnn\n- draw.mosaic_bbox\n- output.media_writer\n"
    )
    return path
