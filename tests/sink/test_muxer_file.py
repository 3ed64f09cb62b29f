"""FFmpeg writes to the file it was given, whatever its name looks like, and a full disk is one line of error."""

from __future__ import annotations

import os
import resource
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dp2.errors import OutputError
from dp2.sink.open import open_sink
from dp2.types import Frame
from dp2.video_info import VideoInfo

INFO = VideoInfo(path=Path("x"), width=160, height=120, average_rate=Fraction(10), time_base=Fraction(1, 10))


def write(target: Path, frames: int = 6) -> None:
    random = np.random.default_rng(0)
    sink = open_sink(target, INFO)
    try:
        for index in range(frames):
            image = random.integers(0, 255, (120, 160, 3), np.uint8)
            sink.write(Frame(image, index, Fraction(index, 10), Fraction(1, 10)))
        sink.finish()
    except BaseException:
        sink.discard()
        raise


@pytest.mark.parametrize("name", ["12:30.mp4", "http:host.mkv", "concat:a|b.avi", "subfile,,start,0,end,9,,:a.ts",
                                  "file:x.mov", "pipe:1.gif", "%d.webp", "-.flv"])  # fmt: skip
def test_name_that_looks_like_a_url_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name))
    assert os.listdir() == [name]
    if name.endswith(".webp"):  # FFmpeg reads none that move
        with Image.open(name) as picture:
            assert picture.n_frames == 6
        return
    with av.open(f"file:{tmp_path}/{name}") as container:
        assert len(list(container.decode(video=0))) == 6


@pytest.mark.parametrize("limit", [0, 500, 20_000, 60_000])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".flv", ".gif", ".webp"])
def test_disk_that_fills_up_at_any_place(tmp_path: Path, suffix: str, limit: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))  # says EFBIG where a full disk says ENOSPC
    try:
        with pytest.raises(OutputError, match="the disk is full"):
            write(tmp_path / f"a{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []
