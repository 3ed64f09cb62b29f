"""Hostile detections and pipelines on the command line: one line and a failure for the file, the others finished."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dp2.cli import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: np.ndarray) -> Callable[..., Result]:
    """Runs `dp2` in a folder with two pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    for name in ("a.png", "b.png"):
        Image.fromarray(scene).save(tmp_path / name)
    return lambda *words: CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ('"time": 1e999', '"time" is inf'),
        ('"width": "wide"', "\"width\" is 'wide'"),
        ('"detections": 7', '"detections" must be a list'),
        ('"detections": [{"kind": "face", "box": [1, 2, 3, NaN]}]', 'detection 1 is malformed: "box"'),
        ('"detections": [{"kind": "face", "box": [1, 2, 3, 4], "keypoints": [[1, 2, 1e999]]}]', '"keypoints"'),
    ],
)
def test_bad_line_of_detections_fails_its_picture_alone(
    run: Callable[..., Result], tmp_path: Path, fields: str, named: str
) -> None:
    rest = "" if "detections" in fields else ', "detections": []'
    (tmp_path / "d.jsonl").write_text(
        f'{{"media": "a.png", "frame": 0, {fields}{rest}}}\n{{"media": "b.png", "frame": 0, "detections": []}}\n'
    )
    done = run(
        "anonymize", "face_solid", "a.png", "b.png", "-o", "out", "--detections", "d.jsonl", "--report-json", "r"
    )
    assert done.exit_code == 1, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    told = json.loads((tmp_path / "r").read_text())["inputs"]
    assert [row["status"] for row in told] == ["failed", "done"]
    assert "line 1" in told[0]["error"]
    assert named in told[0]["error"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


@pytest.mark.parametrize("value", [r'"a\0b"', "2001-02-30", "[" * 99 + "]" * 99, "!!python/name:os.system"])
def test_odd_override_is_wrong_usage(run: Callable[..., Result], value: str) -> None:
    done = run("anonymize", "face_solid", "a.png", f"detector.score_threshold={value}")
    assert done.exit_code == 2
    assert "not valid YAML" in done.output
    assert isinstance(done.exception, SystemExit)


def test_pipeline_with_a_nul_in_its_source_is_wrong_usage(run: Callable[..., Result], tmp_path: Path) -> None:
    text = 'nodes:\n- input.visual: {source: "a\\0.png"}\n- model.mtcnn\n- draw.mosaic_bbox\n- output.media_writer\n'
    (tmp_path / "p.yml").write_text(text)
    done = run("run", "p.yml")
    assert done.exit_code == 2
    assert "control characters" in done.output
    assert isinstance(done.exception, SystemExit)
