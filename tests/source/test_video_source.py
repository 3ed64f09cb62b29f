from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from dp2.errors import UnreadableMedia
from dp2.source.video import VideoSource


def times(source: VideoSource) -> list[Fraction]:
    return [frame.time for frame in source]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_frames_come_in_order_with_exact_times_and_durations(clips) -> None:
    source = VideoSource(clips.make("a.mp4"))
    frames = list(source)
    assert [frame.time for frame in frames] == [Fraction(i, 30) for i in range(30)]
    assert [frame.index for frame in frames] == list(range(30))
    assert {frame.duration for frame in frames} == {Fraction(1, 30)}
    assert all(difference(frame.image, clips.frame(i)) < 4 for i, frame in enumerate(frames))
    assert (source.info.frames, source.info.average_rate, source.info.duration) == (30, 30, 1)


def test_source_can_be_read_twice(clips) -> None:
    source = VideoSource(clips.make("a.mp4", 5))
    assert times(source) == times(source)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_frame_rate_keeps_all_times(clips, name: str) -> None:
    stamps = [0, 40, 45, 300, 333, 334, 900, 1000, 1500, 1501]
    source = VideoSource(clips.make(name, times=stamps, base=(1, 1000)))
    assert times(source) == [Fraction(stamp, 1000) for stamp in stamps]
    assert [f.duration for f in source][:-1] == [Fraction(b - a, 1000) for a, b in pairwise(stamps)]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied_as_opencv_does(clips, degrees: int) -> None:
    path = clips.make("a.mp4", 3, rotation=degrees)
    source = VideoSource(path)
    frame = next(iter(source))
    _, expected = cv2.VideoCapture(str(path)).read()
    assert frame.image.shape == (source.info.height, source.info.width, 3) == expected.shape
    assert difference(frame.image, expected[..., ::-1]) < 3
    assert source.info.rotation == degrees


def test_pixel_aspect_turns_with_the_picture(clips) -> None:
    assert VideoSource(clips.make("a.mp4", 2, aspect=Fraction(4, 3))).info.pixel_aspect == Fraction(4, 3)
    turned = VideoSource(clips.make("b.mp4", 2, aspect=Fraction(4, 3), rotation=90))
    assert turned.info.pixel_aspect == Fraction(3, 4)


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("span", [1, 2])
def test_colours_are_read_by_their_matrix_and_range(clips, matrix: int, span: int) -> None:
    for colour in ([200, 40, 90], [30, 180, 220], [250, 250, 250], [5, 5, 5]):
        patch = np.full((48, 64, 3), colour, np.uint8)
        path = clips.make("a.mp4", 1, size=(64, 48), pixels=patch, colour=(matrix, span), options={"crf": "1"})
        assert np.abs(next(iter(VideoSource(path))).image.astype(int) - patch).max() <= 5


def test_odd_size(clips) -> None:
    frame = next(iter(VideoSource(clips.make("a.mp4", 2, size=(321, 239), pix_fmt="yuv444p"))))
    assert frame.image.shape == (239, 321, 3)


def test_ten_bits_become_eight_with_a_word(clips) -> None:
    source = VideoSource(clips.make("a.mp4", 2, pix_fmt="yuv420p10le"))
    assert source.notes == ("10 bits a colour become 8",)
    assert difference(next(iter(source)).image, clips.frame(0)) < 4


def test_span_begins_and_ends_exactly_although_key_frames_lie_elsewhere(clips) -> None:
    path = clips.make("a.mp4", 60, options={"g": "25"})
    source = VideoSource(path, start=1.1, end=1.5)
    frames = list(source)
    assert [frame.time for frame in frames] == [Fraction(i, 30) for i in range(33, 45)]
    assert [frame.index for frame in frames] == list(range(12))
    assert difference(frames[0].image, clips.frame(33)) < 4
    assert source.info.frames == 12


def test_constant_rate_drops_and_repeats_by_time(clips) -> None:
    path = clips.make("a.mp4", times=[0, 1, 2, 3, 10, 11], base=(1, 30))
    source = VideoSource(path, fps=15)
    frames = list(source)
    assert [frame.time for frame in frames] == [Fraction(i, 15) for i in range(len(frames))]
    shown = [min(range(6), key=lambda i: difference(frame.image, clips.frame(i))) for frame in frames]
    assert shown == [0, 2, 3, 3, 3, 4, 5]
    assert (source.info.average_rate, source.info.time_base) == (15, Fraction(1, 15))


def test_ntsc_rates_are_exact(clips) -> None:
    assert VideoSource(clips.make("a.mp4", 3), fps=29.97).info.average_rate == Fraction(30000, 1001)


def test_max_res_shrinks_to_an_even_size_and_never_enlarges(clips) -> None:
    path = clips.make("a.mp4", 2, size=(322, 182))
    small = VideoSource(path, max_res=101)
    assert next(iter(small)).image.shape == (small.info.height, small.info.width, 3)
    assert (small.info.width, small.info.height) == (100, 58)
    expected = cv2.resize(clips.frame(0, 322, 182), (100, 58), interpolation=cv2.INTER_AREA)
    assert difference(next(iter(small)).image, expected) < 5
    assert VideoSource(path, max_res=1000).info.width == 322


@pytest.mark.parametrize(
    ("name", "mux"),
    [
        ("a.mp4", {"movflags": "faststart"}),
        ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mkv", {}),
        ("a.ts", {}),
    ],
)
def test_cut_video_is_refused_and_says_how_much_was_read(clips, name: str, mux: dict[str, str]) -> None:
    path = cut(clips.make(name, 90, options={"g": "30", "crf": "5"}, mux=mux), 0.6)
    # How the decoder's threads are scheduled decides whether the cut frame comes out damaged or not at all.
    words = r"(ends in frame (\d+); \2|frame (\d+) is damaged; \3) of \d+ frames.*Nothing.*--salvage"
    with pytest.raises(UnreadableMedia, match=words):
        list(VideoSource(path))


def test_salvage_yields_whole_frames_and_stops(clips, caplog) -> None:
    path = cut(clips.make("a.mp4", 90, options={"g": "30", "crf": "5"}, mux={"movflags": "faststart"}), 0.6)
    source = VideoSource(path, salvage=True)
    frames = list(source)
    assert 20 < len(frames) < 80
    assert all(difference(frame.image, clips.frame(frame.index)) < 3 for frame in frames)
    assert "the rest is left out" in caplog.text
    assert source.notes


def test_broken_bytes_in_the_middle_are_noticed(clips) -> None:
    path = clips.make("a.mp4", 90, options={"g": "30", "crf": "5"})
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 300):
        data[at] ^= 0x5A
    path.write_bytes(data)
    with pytest.raises(UnreadableMedia, match=r"frame \d+ is damaged"):
        list(VideoSource(path))
    kept = list(VideoSource(path, salvage=True))
    assert all(difference(frame.image, clips.frame(frame.index)) < 3 for frame in kept)


def test_damage_behind_the_chosen_span_does_not_matter(clips) -> None:
    path = cut(clips.make("a.mp4", 90, options={"g": "30", "crf": "5"}, mux={"movflags": "faststart"}), 0.6)
    assert len(list(VideoSource(path, end=0.5))) == 15


def test_cut_before_the_index_was_written(clips) -> None:
    with pytest.raises(UnreadableMedia, match="index"):
        VideoSource(cut(clips.make("a.mp4", 30), 0.6))


def test_files_that_are_no_video(tmp_path: Path, clips) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("This is a shopping list.\n" * 50)
    for name, words in {"empty.mp4": "is empty", "text.mp4": "is not a video", "none.mp4": "cannot be read"}.items():
        with pytest.raises(UnreadableMedia, match=f"{name}: {words}"):
            VideoSource(tmp_path / name)


def test_sound_without_picture(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 48000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(UnreadableMedia, match="no video stream, only audio"):
        VideoSource(tmp_path / "a.m4a")


def test_transport_stream_starts_at_zero(clips) -> None:
    assert times(VideoSource(clips.make("a.ts", 5)))[0] == 0


def test_one_frame(clips) -> None:
    assert len(list(VideoSource(clips.make("a.mp4", 1)))) == 1


def test_real_videos_are_whole(shared_data: Path) -> None:
    counts = {"four_men_walking.mp4": 145, "street_1080p.mp4": 105}
    for name, count in counts.items():
        source = VideoSource(shared_data / "videos" / name, max_res=320)
        assert source.info.frames == count
        assert len(list(source)) == count
