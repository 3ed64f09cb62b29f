"""What is said while a run goes, on a terminal and where stderr is a pipe."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from dp2.cli import main, pace
from dp2.cli.commands.anonymize import anonymize
from dp2.cli.inputs import VIDEO, Job
from dp2.cli.progress import Progress
from dp2.result import Result
from dp2.types import Choice, Detections, Frame, regions

RESULT = Result(
    Frame(np.zeros((4, 4, 3), np.uint8)), np.zeros((4, 4, 3), np.uint8), (), Counter(), Counter(), Counter()
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass."""
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_a_pipe_gets_a_line_every_ten_seconds(clock: Callable[[float], None]) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80)
    with Progress(1, preview=False, console=console) as progress, progress.job(Job(Path("a.mp4"), None, VIDEO)) as bar:
        for _ in range(50):  # 25 seconds
            clock(0.5)
            bar.read(200)
        for _ in range(120):  # 60 seconds
            clock(0.5)
            bar(RESULT, 200)
    lines = out.getvalue().splitlines()
    assert len(lines) == 8
    assert lines[0] == "a.mp4: 20 of 200 frames, first reading, 2.0 frames/s, 2 min left"
    assert lines[2].startswith("a.mp4: 10 of 200 frames, 2.")
    assert lines[-1].startswith("a.mp4: 110 of 200 frames, 2.0 frames/s, 4")


@pytest.mark.parametrize("first", [True, False])
def test_a_bar_fits_on_one_line_and_says_what_its_time_is(first: bool, clock: Callable[[float], None]) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    progress = Progress(1, preview=False, console=console)
    name = "a_folder_with_a_long_name/" * 9 + "and a long name of a file [1] at its end.mp4"
    with progress.job(Job(Path(name), None, VIDEO)) as bar:
        for _ in range(9):
            clock(0.1)
            bar.read(12_345) if first else bar(RESULT, 12_345)
        console.print(progress.bars.get_renderable())
    (line,) = [line for line in out.getvalue().splitlines() if "frames/s" in line]
    assert "9/12345" in line
    assert "file [1] at its end.mp4"[-12:] in line
    assert line.startswith("reading …") == first
    assert line.rstrip().endswith(" left")
    assert len(line) <= 80


class Studying:
    """A chooser that looks through the video first, as a keep-list does, and keeps nobody."""

    def start(self, *, live: bool = False) -> Studying:
        raise AssertionError("a file is studied first")

    def study(self) -> Studying:
        return self

    def observe(self, frame: Frame, detections: Sequence[Detections]) -> None: ...

    def decide(self) -> Studying:
        return self

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        yield Choice(tuple(region for part in detections for region in regions(part)))

    def flush(self) -> Iterator[Choice]:
        return iter(())


def test_the_first_reading_of_a_keep_list_is_followed(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dp2 import anonymizer as building

    real = building.build_anonymizer

    def build(*arguments: object, **words: object) -> object:
        from dataclasses import replace

        return replace(real(*arguments, **words), chooser=Studying())

    monkeypatch.setattr(building, "build_anonymizer", build)
    monkeypatch.setattr(pace, "INTERVAL", 0.0)
    result = CliRunner().invoke(
        anonymize, ["face_blur", str(media / "pan.mp4"), "-o", str(tmp_path / "o.mp4"), "--et", "0.5"]
    )
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if "frames/s" in line]
    reading = [line for line in lines if "first reading" in line]
    assert 5 < len(reading) < len(lines)
    assert lines[: len(reading)] == reading
    assert " of " in reading[0]


def test_splitting_and_joining_say_how_far_they_are(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "INTERVAL", 0.0)
    split = CliRunner().invoke(main, ["frames", "split", str(media / "pan.mp4"), str(tmp_path / "f"), "--fps", "2"])
    assert split.exit_code == 0, split.output
    assert split.output.startswith("splitting: 1 of ")
    joined = CliRunner().invoke(main, ["frames", "join", str(tmp_path / "f"), str(tmp_path / "o.mp4")])
    assert joined.output.startswith("joining: 1 of ")
    monkeypatch.setattr(pace, "INTERVAL", 1e9)
    joined = CliRunner().invoke(main, ["frames", "join", str(tmp_path / "f"), str(tmp_path / "p.mp4")])
    assert "frames/s" not in joined.output
