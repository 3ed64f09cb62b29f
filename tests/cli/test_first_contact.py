"""What a newcomer meets: mistakes are answered with what to do, and before anything slow is begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dp2 import anonymizer as building
from dp2.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray) -> Callable[..., Result]:
    """Runs `dp2` in a folder that holds photo.png."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    Image.fromarray(astronaut[:300, 50:400]).save("photo.png")
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(building, "build_anonymizer", load)


def test_the_command_can_be_left_out(run: Callable[..., Result]) -> None:
    result = run("face_blur", "photo.png", "-o", "o.png")
    assert result.exit_code == 0, result.output
    assert Path("o.png").exists()
    assert run("photo.png", "--replacewith", "blur").exit_code == 0
    assert run("--replacewith", "blur", "photo.png", "-o", "p.png").exit_code == 0
    assert Path("photo_anonymized.png").read_bytes() == Path("p.png").read_bytes()


def test_python_m_dp2_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dp2", "configs"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "face_blur" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["anonymise", "photo.png"], "there is no command, file or anonymizer anonymise. Did you mean anonymize?"),
        (["confgs"], "Did you mean configs?"),
        (["weights", "lst"], "there is no command lst. Did you mean list?"),
        (["frames", "splitt", "a", "b"], "Did you mean split?"),
        (["photo.png", "face_blur"], "face_blur: put the anonymizer first: face_blur photo.png"),
        (["face_blur", "photo.png", "face_solid"], "there is an anonymizer already, face_blur"),
        (["photo.png", "seed=abc"], "seed must be a number such as 0, not 'abc'"),
        (["photo.png", "batch_size=many"], "batch_size must be a number such as 4, not 'many'"),
        (["photo.png", "--seed", "abc"], "'abc' is not a valid int"),
    ],
)
@pytest.mark.usefixtures("nothing_is_loaded")
def test_a_slip_is_answered_with_what_to_do(run: Callable[..., Result], words: list[str], said: str) -> None:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("nothing_is_loaded")
def test_an_existing_output_is_refused_before_a_model_is_loaded(run: Callable[..., Result]) -> None:
    Path("o.png").write_text("mine")
    result = run("photo.png", "-o", "o.png", "--report-json", "r.json")
    assert result.exit_code == 1
    assert "o.png: exists already; use --overwrite" in result.output
    assert result.output.splitlines()[-1].startswith("failed: 1 of 1 in ")
    assert Path("o.png").read_text() == "mine"


def test_of_several_inputs_those_without_a_place_fail_and_the_others_are_done(run: Callable[..., Result]) -> None:
    Path("out").mkdir()
    Path("out/photo.png").write_text("mine")
    Path("other.png").write_bytes(Path("photo.png").read_bytes())
    result = run("face_blur", "photo.png", "other.png", "-o", "out")
    assert result.exit_code == 1
    assert Path("out/photo.png").read_text() == "mine"
    assert "1 done, 1 failed in " in result.output.splitlines()[-1]
    assert Path("out/other.png").stat().st_size > 1000


def test_a_failure_closes_without_words_about_a_result(run: Callable[..., Result]) -> None:
    result = run("face_blur", "none.jpg", "nor_this.jpg")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("failed: 2 of 2 in ")
    assert "nobody found" not in result.output


@pytest.mark.usefixtures("nothing_is_loaded")
def test_a_camera_without_a_display_is_told_to_name_a_file(run: Callable[..., Result]) -> None:
    result = run("cam")
    assert result.exit_code == 1
    assert "no display for a preview window; name a file with -o, e.g. -o recording.mp4" in result.output


@pytest.mark.parametrize(
    ("words", "shown"), [(["--visualize-detection"], True), (["--replacewith", "none"], True), ([], False)]
)
def test_outputs_that_show_people_are_warned_of(run: Callable[..., Result], words: list[str], shown: bool) -> None:
    result = run("face_blur", "photo.png", *words)
    assert result.exit_code == 0, result.output
    assert (f"warning: {' '.join(words)}: nobody is anonymized" in result.output) == shown


def test_options_for_videos_are_not_ignored_in_silence(run: Callable[..., Result]) -> None:
    result = run("face_blur", "photo.png", "--keep-audio", "--crf", "20")
    assert result.exit_code == 0, result.output
    assert "warning: --keep-audio, --crf: ignored, for no input is a video." in result.output
    assert "ignored" not in run("face_blur", "photo.png", "--overwrite").output


@pytest.mark.parametrize("jobs", [1, 3])
def test_ctrl_c_says_what_was_not_written_and_exits_130(run: Callable[..., Result], media: Path, jobs: int) -> None:
    clips = [Path(f"clip{number}.mp4") for number in range(jobs)]
    for clip in clips:
        clip.write_bytes((media / "pan.mp4").read_bytes())
    command = [sys.executable, "-m", "dp2", "face_blur", *map(str, clips), "--report-json", "r.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in what a shell runs behind
    )
    for _ in range(1200):
        if list(Path().glob(".clip0*")) or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    more = " and 2 more" if jobs == 3 else ""
    assert f"stopped; nothing was written for clip0.mp4{more}." in said
    assert f"stopped: {jobs} of {jobs} in " in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not list(Path().glob("*anonymized*"))
    assert '"status": "stopped"' in Path("r.json").read_text()


def test_ctrl_c_of_other_commands_exits_130(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    from dp2.weights import store

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.Store, "__init__", interrupt)
    result = run("weights", "list")
    assert result.exit_code == 130
    assert "stopped; nothing half-written is left." in result.output


def test_configs_prints_a_table_with_what_needs_a_download(run: Callable[..., Result]) -> None:
    head, *rows = run("configs").output.splitlines()
    assert head.split() == ["name", "weights", "what", "it", "does"]
    column = head.index("weights")
    weights = {row.split()[0]: row[column:].split("  ")[0] for row in rows}
    assert weights["face_blur"] == "with pip"
    assert weights["FB_cse"] == "to be fetched"
    assert rows[0].startswith("face_tiny ")
    assert all(row[head.index("what") :].endswith(".") for row in rows)


def test_offline_what_works_instead_is_named(run: Callable[..., Result]) -> None:
    result = run("FB_cse", "photo.png", "--offline")
    assert result.exit_code == 1
    assert "What works here: face_blur, face_image, face_mosaic, face_solid, face_synthetic, face_tiny" in result.output
    assert result.output.rstrip().endswith("dp2 weights fetch mask_rcnn/X101 cse/R101_DL_soft fdh/styleganL")


def test_exit_codes_are_documented(run: Callable[..., Result]) -> None:
    result = run("anonymize", "--help")
    assert "130" in result.output
    assert "Ctrl-C" in result.output
