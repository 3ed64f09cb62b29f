"""A disk that fills up is one line of error, not the end of the process."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dp2.anonymizer import load_anonymizer
from dp2.errors import OutputError
from dp2.files import Options, anonymize_video
from dp2.sink.encoder import Encoding


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Eighty pictures that cannot be compressed."""
    path, random = tmp_path / "noise.mkv", np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=30, options={"q:v": "2"})
        stream.codec_context.width, stream.codec_context.height = 320, 180
        stream.codec_context.pix_fmt = "yuvj420p"
        for index in range(80):
            frame = av.VideoFrame.from_ndarray(random.integers(0, 255, (180, 320, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def run(limit: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process whose files cannot grow beyond `limit` bytes."""
    small = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    command = [sys.executable, "-c", "from dp2.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, preexec_fn=small, capture_output=True, text=True, check=False, timeout=300)


def test_video(noise: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = run(300_000, "anonymize", noise, "-o", tmp_path / "out" / "o.mp4", "--codec", "mjpeg")
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr
    assert "terminate" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_photo(astronaut: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(astronaut).save(tmp_path / "photo.png")
    done = run(20_000, "anonymize", tmp_path / "photo.png", "-o", tmp_path / "out" / "o.png")
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_frames(noise: Path, tmp_path: Path) -> None:
    done = run(20_000, "frames", "split", noise, tmp_path / "frames")
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["noise.mkv"]


def test_no_thread_outlives_a_failed_video(noise: Path, tmp_path: Path) -> None:
    """One that is in the detector's C++ while the interpreter ends aborts the process."""
    anonymizer = load_anonymizer("face_blur")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="the disk is full") as raised:
            anonymize_video(anonymizer, noise, tmp_path / "o.mp4", Options(encoding=Encoding(codec="mjpeg")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.__traceback__ is not None  # which keeps all generators of the failed run alive
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("dp2-")]
    assert [path.name for path in tmp_path.iterdir()] == ["noise.mkv"]
