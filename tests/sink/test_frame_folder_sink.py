"""Original frames lie nowhere but in the folder that was asked for, also after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dp2.errors import OutputError
from dp2.frame_manifest import is_frame_folder
from dp2.sink.frame_folder import FrameFolderSink
from dp2.source.frame_folder import FrameFolderSource
from dp2.types import Frame
from dp2.video_info import VideoInfo

INFO = VideoInfo(path=Path("x"), width=8, height=6, average_rate=Fraction(10), time_base=Fraction(1, 10))
WRITER = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from dp2.sink.frame_folder import FrameFolderSink
from dp2.types import Frame
from dp2.video_info import VideoInfo
info = VideoInfo(path=Path("x"), width=8, height=6, average_rate=Fraction(10), time_base=Fraction(1, 10))
sink = FrameFolderSink(Path(sys.argv[1]), info)
for index in range(3):
    sink.write(Frame(np.full((6, 8, 3), index, np.uint8), index, Fraction(index, 10)))
print("written", flush=True)
sys.stdin.read()
"""


def writer(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def split(folder: Path, frames: int) -> None:
    sink = FrameFolderSink(folder, INFO)
    for index in range(frames):
        sink.write(Frame(np.full((6, 8, 3), 90 + index, np.uint8), index, Fraction(index, 10)))
    sink.finish()


def test_killed_process_leaves_frames_only_in_its_folder_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    process = writer(tmp_path / "frames")
    process.kill()
    process.communicate()
    assert os.listdir(tmp_path) == ["frames"]
    assert not is_frame_folder(tmp_path / "frames")
    split(tmp_path / "frames", 2)
    assert [int(frame.image[0, 0, 0]) for frame in FrameFolderSource(tmp_path / "frames")] == [90, 91]
    assert sorted(os.listdir(tmp_path / "frames")) == ["frame_0000000001.png", "frame_0000000002.png", "frames.json"]


def test_folder_that_another_process_fills_is_refused_and_left_alone(tmp_path: Path) -> None:
    process = writer(tmp_path / "frames")
    try:
        before = sorted(os.listdir(tmp_path / "frames"))
        with pytest.raises(OutputError, match="another process"):
            FrameFolderSink(tmp_path / "frames", INFO)
        assert sorted(os.listdir(tmp_path / "frames")) == before
    finally:
        process.kill()
        process.communicate()


def test_folder_with_anything_else_in_it_is_left_alone_after_a_kill(tmp_path: Path) -> None:
    process = writer(tmp_path / "frames")
    process.kill()
    process.communicate()
    (tmp_path / "frames" / "mine.txt").write_text("mine", encoding="utf-8")
    before = sorted(os.listdir(tmp_path / "frames"))
    with pytest.raises(OutputError, match="no empty folder"):
        FrameFolderSink(tmp_path / "frames", INFO)
    assert sorted(os.listdir(tmp_path / "frames")) == before


@pytest.mark.parametrize("existed", [True, False])
def test_discard_leaves_the_folder_as_it_was(tmp_path: Path, existed: bool) -> None:
    if existed:
        (tmp_path / "frames").mkdir()
    sink = FrameFolderSink(tmp_path / "frames", INFO)
    sink.write(Frame(np.zeros((6, 8, 3), np.uint8), 0, Fraction(0)))
    sink.discard()
    assert os.listdir(tmp_path) == (["frames"] if existed else [])
    assert not existed or os.listdir(tmp_path / "frames") == []
