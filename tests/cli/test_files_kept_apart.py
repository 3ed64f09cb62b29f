"""Nothing that is read is written over, nothing unsafe gets a safe name, a damaged cache is not believed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dp2.cli.commands.anonymize import anonymize


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray) -> Callable[..., Result]:
    """Runs the command in a folder that holds photo.png and sticker.png."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    for name in ("photo.png", "sticker.png"):
        Image.fromarray(astronaut[:300, 50:400]).save(name)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(anonymize, [str(argument) for argument in arguments])

    return call


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["--save-detections", "photo.png"], "photo.png"),
        (["--report-json", "photo.png"], "photo.png"),
        (["--report-json", "link.png"], "photo.png"),
        (["--replaceimg", "sticker.png", "-o", "sticker.png"], "sticker.png"),
        (["--report-json", "out.png", "-o", "out.png"], "photo.png"),
        (["--report-json", "r.json", "--save-detections", "./r.json"], "photo.png"),
    ],
)
def test_no_file_of_a_run_is_written_over(run: Callable[..., Result], arguments: list[str], kept: str) -> None:
    Path("link.png").symlink_to("photo.png")
    before, files = Path(kept).read_bytes(), sorted(Path().iterdir())
    result = run("photo.png", "--overwrite", *arguments)
    assert result.exit_code == 2
    assert "choose another" in result.output
    assert Path(kept).read_bytes() == before
    assert sorted(Path().iterdir()) == files


def test_photo_left_as_it_was_gets_no_safe_name(run: Callable[..., Result]) -> None:
    assert run("photo.png", "--replacewith", "none").exit_code == 0
    assert Path("photo_not_anonymized.png").exists()
    assert not Path("photo_anonymized.png").exists()


@pytest.mark.parametrize("text", ["", "{", '{"schema": "dp2.detections/1"}\n'])
def test_damaged_cache_is_searched_anew(run: Callable[..., Result], text: str) -> None:
    assert run("photo.png", "--cache").exit_code == 0
    (cache,) = Path("home/detections").glob("*.jsonl")
    cache.write_text(text)
    result = run("photo.png", "--cache", "-o", "again.png")
    assert result.exit_code == 0, result.output
    assert Path("again.png").read_bytes() == Path("photo_anonymized.png").read_bytes()


def test_emptied_cache_line_does_not_uncover_a_face(run: Callable[..., Result]) -> None:
    assert run("photo.png", "--cache").exit_code == 0
    (cache,) = Path("home/detections").glob("*.jsonl")
    lines = cache.read_text().splitlines()
    cache.write_text("\n".join([lines[0], json.dumps({**json.loads(lines[1]), "detections": []}), *lines[2:], ""]))
    assert run("photo.png", "--cache", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("photo_anonymized.png").read_bytes()


def test_missing_folder_is_named(run: Callable[..., Result]) -> None:
    result = run("holidays")
    assert result.exit_code == 2
    assert "holidays: there is no such file or folder" in result.output


def test_animation_obeys_the_limit_of_pixels(run: Callable[..., Result]) -> None:
    pages = [Image.new("RGB", (300, 300), colour) for colour in ("red", "blue")]
    pages[0].save("a.gif", save_all=True, append_images=pages[1:])
    result = run("a.gif", "--max-pixels", "1000")
    assert result.exit_code == 1
    assert "300x300 is too large" in result.output
    assert not Path("a_anonymized.gif").exists()


def test_names_that_steer_a_terminal_or_are_no_text_are_escaped(run: Callable[..., Result]) -> None:
    for name in ("two\nlines.png", "red\x1b[31m.png", os.fsdecode(b"old\xff.png")):
        Path("photo.png").rename(name)
        result = run(name, "--overwrite", "--report-json", "r.json", "--save-detections", "d.jsonl")
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.output
        assert len(result.output.strip().splitlines()) == 2
        Path(name).rename("photo.png")


@pytest.mark.parametrize(("option", "value"), [("--start-time", "nan"), ("--end-time", "inf"), ("--fps", "inf")])
def test_number_that_is_none_is_wrong_usage(run: Callable[..., Result], media: Path, option: str, value: str) -> None:
    result = run(media / "pan.mp4", option, value, "-o", "out.mp4")
    assert result.exit_code == 2
    assert f"{option} {value}: must be a finite number" in result.output


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_closed_terminal_leaves_nothing_half_written(tmp_path: Path, media: Path) -> None:
    program, clip = media.parent / "anonymize.py", media / "pan.mp4"
    command = [sys.executable, str(program), str(clip), "-o", str(tmp_path / "o.mp4")]
    heard = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # nohup, under which tests may run, leaves it ignored
    process = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=heard)
    for _ in range(600):
        if any(tmp_path.iterdir()) or process.poll() is not None:
            break
        time.sleep(0.05)
    assert any(tmp_path.iterdir()), "nothing was begun"
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert not list(tmp_path.iterdir())
