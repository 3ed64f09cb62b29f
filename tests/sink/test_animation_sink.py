from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.errors import OutputError, UsageError
from dp2.media.video_info import VideoInfo
from dp2.sink.animation import AnimationSink
from dp2.types import Frame

DURATIONS = [100, 50, 200, 30, 500]


def info(**changes) -> VideoInfo:
    return VideoInfo(**{"path": Path("x"), "width": 60, "height": 40, "average_rate": Fraction(10), **changes})


def frames(astronaut: np.ndarray) -> list[Frame]:
    return [
        Frame(
            np.ascontiguousarray(astronaut[40 * index : 40 * index + 40, 200:260]),
            index,
            Fraction(sum(DURATIONS[:index]), 1000),
            Fraction(duration, 1000),
        )
        for index, duration in enumerate(DURATIONS)
    ]


def write(path: Path, like: VideoInfo, content: list[Frame]) -> Image.Image:
    sink = AnimationSink(path, like)
    for frame in content:
        sink.write(frame)
    sink.finish()
    assert list(path.parent.iterdir()) == [path]
    return Image.open(path)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_pictures_and_durations_survive(tmp_path: Path, astronaut: np.ndarray, kind: str) -> None:
    content = frames(astronaut)
    result = write(tmp_path / f"a.{kind}", info(), content)
    assert result.n_frames == 5
    for index, frame in enumerate(content):
        result.seek(index)
        assert np.abs(np.asarray(result.convert("RGB")).astype(int) - frame.image).mean() < 8
        assert result.info["duration"] == DURATIONS[index]


@pytest.mark.parametrize(
    ("kind", "codec", "loop", "written"),
    [
        ("gif", "gif", 0, 0), ("gif", "gif", 3, 3), ("gif", "gif", None, None), ("gif", "webp", 3, 2),
        ("gif", "h264", None, 0), ("webp", "webp", 0, 0), ("webp", "webp", 3, 3),
        ("webp", "gif", 3, 4), ("webp", "gif", None, 1),
    ],
)  # fmt: skip
def test_loop_count(tmp_path: Path, astronaut: np.ndarray, kind: str, codec: str, loop, written) -> None:
    result = write(tmp_path / f"a.{kind}", info(codec=codec, loop=loop), frames(astronaut))
    assert result.info.get("loop") == written


def test_repeated_pictures_keep_their_time(tmp_path: Path) -> None:
    same = [Frame(np.full((40, 60, 3), 90, np.uint8), i, Fraction(i, 10), Fraction(1, 10)) for i in range(4)]
    other = Frame(np.full((40, 60, 3), 200, np.uint8), 4, Fraction(4, 10), Fraction(7, 10))
    result = write(tmp_path / "a.webp", info(), [*same, other])
    total = 0
    for index in range(result.n_frames):
        result.seek(index)
        result.load()
        total += result.info["duration"]
    assert total == 1100


def test_nothing_is_left_of_an_unfinished_animation(tmp_path: Path, astronaut: np.ndarray) -> None:
    sink = AnimationSink(tmp_path / "a.gif", info())
    sink.write(frames(astronaut)[0])
    sink.discard()
    with pytest.raises(OutputError, match="no frame"):
        AnimationSink(tmp_path / "b.gif", info()).finish()
    with pytest.raises(UsageError, match=r"\.gif or \.webp"):
        AnimationSink(tmp_path / "c.png", info())
    assert list(tmp_path.iterdir()) == []
