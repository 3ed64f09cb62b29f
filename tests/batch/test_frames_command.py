from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dp2.cli import main
from dp2.errors import UnreadableMedia
from dp2.media.frame_manifest import read_manifest
from dp2.sink.frame_time import draw_time, time_text
from dp2.source.frame_folder import FrameFolderSource
from dp2.source.video import VideoSource


def typed(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in words])
    return result.exit_code, result.output


def test_split_keeps_every_pixel_and_every_time(clip: Path, tmp_path: Path) -> None:
    assert typed("frames", "split", clip, tmp_path / "f")[0] == 0
    for original, frame in zip(VideoSource(clip), FrameFolderSource(tmp_path / "f"), strict=True):
        assert np.array_equal(original.image, frame.image)
        assert (original.index, original.time, original.duration) == (frame.index, frame.time, frame.duration)


def test_split_resamples_and_scales(clip: Path, tmp_path: Path) -> None:
    code, _ = typed("frames", "split", clip, tmp_path / "f", "--fps", 10, "--width", 128, "--overlay-time")
    source = FrameFolderSource(tmp_path / "f")
    assert code == 0
    assert [frame.time for frame in source] == [Fraction(index, 10) for index in range(source.info.frames or 0)]
    assert (source.info.width, source.info.height) == (128, 96)


def test_split_leaves_nothing_of_a_video_that_breaks_off_and_writes_over_nothing(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:3000])
    code, said = typed("frames", "split", broken, tmp_path / "f")
    assert code == 1
    assert "broken.mp4" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", encoding="utf-8")
    assert typed("frames", "split", clip, tmp_path / "full")[0] == 1
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_join_at_another_rate_and_without_sound(frames: Path, clip: Path, tmp_path: Path) -> None:
    code, said = typed("frames", "join", frames, tmp_path / "fast.mp4", "--fps", 50)
    assert code == 0
    assert "not anonymized" in said
    assert [frame.time for frame in VideoSource(tmp_path / "fast.mp4")] == [Fraction(i, 50) for i in range(40)]
    assert not VideoSource(tmp_path / "fast.mp4").info.audio
    assert typed("frames", "join", frames, tmp_path / "x.mp4", "--fps", 50, "--audio-from", clip)[0] == 2
    assert typed("frames", "join", frames, tmp_path / "x.mp4", "--audio-from", tmp_path / "fast.mp4")[0] == 2
    assert not (tmp_path / "x.mp4").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../../etc/passwd.png"),
        ("name", "/tmp/a.png"),
        ("name", ".hidden.png"),
        ("name", "a\nb.png"),
        ("name", "frame_0000000002.PNG"),
        ("time", "1/0"),
        ("time", "nan"),
        ("time", "99"),
        ("time", "1e999999999"),
        ("time", "9" * 5000),
        ("duration", "-1"),
    ],
)
def test_a_manifest_is_not_trusted(frames: Path, key: str, value: str) -> None:
    path = frames / "frames.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["frames"][0][key] = value
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(UnreadableMedia, match=r"frames\.json"):
        read_manifest(frames)


def test_the_manifest_names_no_source(clip: Path, frames: Path) -> None:
    assert clip.name not in (frames / "frames.json").read_text(encoding="utf-8")


def test_times_are_written_into_the_lower_right_corner() -> None:
    frame = np.full((120, 320, 3), 128, np.uint8)
    drawn = draw_time(frame, Fraction(3_723_004, 1000))
    assert time_text(Fraction(3_723_004, 1000)) == "01:02:03.004"
    assert (drawn[100:, 200:] != 128).any()
    assert (drawn[:90] == 128).all()
    assert (frame == 128).all()
