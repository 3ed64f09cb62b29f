"""What a killed process left is gone after the next run, and only that."""

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
from PIL import Image

COMMAND = [sys.executable, "-c", "from dp2.cli import main; main()"]
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")


def killed(arguments: list[str], begun: Callable[[], bool]) -> None:
    """Run a command and kill it as soon as something was begun."""
    process = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.DEVNULL)
    for _ in range(6000):
        if begun() or process.poll() is not None:
            break
        time.sleep(0.02)
    assert begun(), "nothing was begun"
    process.kill()
    process.wait()


def test_video_is_tidied_up_by_the_next_run_in_the_folder(clips, tmp_path: Path, astronaut: np.ndarray) -> None:
    clip, out = clips.make("a.mp4", 300, size=(320, 240)), tmp_path / "out"
    out.mkdir()
    killed(["anonymize", str(clip), "-o", str(out / "o.mp4")], lambda: any(out.iterdir()))
    (left,) = out.iterdir()
    assert left.name.startswith(".o.")
    assert ".part" in left.name
    Image.fromarray(astronaut[:200]).save(tmp_path / "photo.png")
    subprocess.run([*COMMAND, "anonymize", str(tmp_path / "photo.png"), "-o", str(out / "p.png")], check=True)
    assert os.listdir(out) == ["p.png"]


def test_split_leaves_original_frames_only_where_it_was_told_to_put_them(clips, tmp_path: Path) -> None:
    clip, folder = clips.make("a.mp4", 300, size=(640, 480)), tmp_path / "work" / "frames"
    folder.parent.mkdir()
    command = ["frames", "split", str(clip), str(folder)]
    killed(command, lambda: len(list(folder.glob("*.png"))) > 3)
    assert os.listdir(folder.parent) == ["frames"]
    subprocess.run([*COMMAND, *command], check=True)
    assert os.listdir(folder.parent) == ["frames"]
    assert len(os.listdir(folder)) == 301
    assert (folder / "frames.json").exists()
