from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dp2.errors import OutputError, UnsupportedMedia, UsageError
from dp2.media.video_info import Colour, VideoInfo
from dp2.sink.encoder import Encoding
from dp2.sink.video import VideoSink
from dp2.source.video import VideoSource
from dp2.types import Frame


def copy(path: Path, target: Path, **options) -> VideoSource:
    """Read `path`, write `target`, open the result."""
    span = {key: options[key] for key in ("start", "end") if key in options}
    source = VideoSource(path, **span)
    sink = VideoSink(target, source.info, **options)
    for frame in source:
        sink.write(frame)
    sink.finish()
    assert list(target.parent.iterdir()) == [target]
    return VideoSource(target)


def sound(path: Path) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(container.streams.audio[0]) if p.size]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


STAMPS = [0, 40, 45, 300, 333, 334, 900, 1000, 1500, 1501]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
def test_variable_frame_rate_keeps_all_timestamps(clips, out: Path, name: str) -> None:
    written = copy(clips.make("a.mp4", times=STAMPS, base=(1, 1000)), out / name)
    assert [frame.time for frame in written] == [Fraction(stamp, 1000) for stamp in STAMPS]


def test_last_frame_keeps_its_duration(out: Path) -> None:
    info = VideoInfo(path=Path("x"), width=64, height=48, average_rate=Fraction(10), time_base=Fraction(1, 1000))
    sink = VideoSink(out / "a.mp4", info)
    for index, (time, duration) in enumerate([(0, 100), (100, 50), (150, 200), (350, 30), (380, 500)]):
        image = np.full((48, 64, 3), 40 * index, np.uint8)
        sink.write(Frame(image, index, Fraction(time, 1000), Fraction(duration, 1000)))
    sink.finish()
    durations = [frame.duration for frame in VideoSource(out / "a.mp4")]
    assert durations == [Fraction(d, 1000) for d in (100, 50, 200, 30, 500)]


def test_late_start_is_kept(clips, out: Path) -> None:
    written = copy(clips.make("a.mkv", times=[500, 600, 700], base=(1, 1000)), out / "b.mkv")
    assert [frame.time for frame in written] == [Fraction(t, 1000) for t in (500, 600, 700)]


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("span", [1, 2])
def test_colours_survive_reading_and_writing(clips, out: Path, matrix: int, span: int) -> None:
    patch = np.full((96, 128, 3), (200, 40, 90), np.uint8)
    patch[:48] = (20, 180, 220)
    path = clips.make("a.mp4", 2, size=(128, 96), pixels=patch, colour=(matrix, span), options={"crf": "1"})
    written = copy(path, out / "b.mp4", encoding=Encoding(crf=1))
    assert (written.info.colour.matrix, written.info.colour.range) == (matrix, span)
    image = next(iter(written)).image.astype(int)
    assert np.abs(image[4:40] - patch[4:40]).max() <= 6
    assert np.abs(image[56:92] - patch[56:92]).max() <= 6
    _, other = cv2.VideoCapture(str(out / "b.mp4")).read()  # another reader agrees
    assert np.abs(other[4:40, :, ::-1].astype(int) - patch[4:40]).max() <= 8


def test_stored_numbers_stay_where_nothing_is_said_about_colour(clips, out: Path) -> None:
    path = clips.make("a.mp4", 1, options={"crf": "1"})
    copy(path, out / "b.mp4", encoding=Encoding(crf=1))
    planes = []
    for file in (path, out / "b.mp4"):
        with av.open(str(file)) as container:
            frame = next(container.decode(video=0))
            planes.append(frame.to_ndarray().astype(int))
            assert frame.colorspace == 2
    assert np.abs(planes[0] - planes[1]).mean() < 1.5


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.avi"])
def test_odd_size_is_kept(clips, out: Path, name: str) -> None:
    path = clips.make("a.mp4", 3, size=(321, 239), pix_fmt="yuv444p")
    image = next(iter(copy(path, out / name))).image
    assert image.shape == (239, 321, 3)
    assert np.abs(image.astype(int) - clips.frame(0, 321, 239)).mean() < 5


def test_pixel_aspect_is_kept(clips, out: Path) -> None:
    written = copy(clips.make("a.mp4", 2, aspect=Fraction(4, 3)), out / "b.mp4")
    assert written.info.pixel_aspect == Fraction(4, 3)


def test_rotated_video_is_written_upright(clips, out: Path) -> None:
    written = copy(clips.make("a.mp4", 2, rotation=90), out / "b.mp4")
    assert (written.info.width, written.info.height, written.info.rotation) == (120, 160, 0)


def test_one_frame(clips, out: Path) -> None:
    assert len(list(copy(clips.make("a.mp4", 1), out / "b.mp4"))) == 1


@pytest.mark.parametrize(
    ("name", "codec"), [("b.mp4", "aac"), ("b.mkv", "aac"), ("b.mov", "aac"), ("b.webm", "libopus")]
)
def test_sound_is_copied_packet_by_packet(clips, out: Path, name: str, codec: str) -> None:
    path = clips.make("a.mkv" if codec == "libopus" else "a.mp4", 45, audio=codec)
    copy(path, out / name, keep_audio=True)
    assert [data for data, _ in sound(out / name)] == [data for data, _ in sound(path)]


def test_sound_is_dropped_by_default(clips, out: Path) -> None:
    assert copy(clips.make("a.mp4", 10, audio="aac"), out / "b.mp4").info.audio == ()


def test_span_takes_its_sound_along_and_starts_at_zero(clips, out: Path) -> None:
    path = clips.make("a.mp4", 90, audio="aac", options={"g": "30"})
    written = copy(path, out / "b.mp4", keep_audio=True, start=1.1, end=2.0)
    frames = list(written)
    assert (frames[0].time, len(frames)) == (0, 27)
    whole = dict(sound(path))
    part = sound(out / "b.mp4")
    shifts = {round(float(whole[data] - time), 3) for data, time in part}
    assert len(shifts) == 1
    assert abs(shifts.pop() - 1.1) < 0.002
    assert abs(len(part) - 0.9 * 48000 / 1024) <= 1


def test_container_that_cannot_hold_the_sound_names_those_that_can(clips, out: Path) -> None:
    source = VideoSource(clips.make("a.mp4", 5, audio="aac"))
    with pytest.raises(UnsupportedMedia, match=r"webm cannot hold.*aac.*\.mp4.*\.mkv"):
        VideoSink(out / "b.webm", source.info, keep_audio=True)
    assert list(out.iterdir()) == []


STRUCTURAL = {"major_brand", "minor_version", "compatible_brands", "vendor_id", "DURATION"}


@pytest.mark.parametrize("name", ["b.mp4", "b.mov", "b.mkv", "b.webm", "b.avi", "b.ts"])
def test_no_metadata_survives(clips, out: Path, name: str) -> None:
    copy(clips.make("a.mov", 20, tags=True), out / name)
    with av.open(str(out / name)) as container:
        tags = dict(container.metadata)
        for stream in container.streams:
            assert stream.type == "video"
            tags |= stream.metadata
        assert container.chapters() == []
    tags = {key: value for key, value in tags.items() if key not in STRUCTURAL}
    assert tags.items() <= {"encoder": "Lavf", "handler_name": "VideoHandler", "language": "und"}.items()
    data = (out / name).read_bytes()
    for trace in (b"Anna", b"Kitchen", b"60.1", b"2020", b"x264", b"Lavc"):
        assert trace not in data


def test_real_video_with_cover_and_comment_loses_them(shared_data: Path, out: Path) -> None:
    copy(shared_data / "videos" / "four_men_walking.mp4", out / "b.mp4", end=0.2)
    with av.open(str(out / "b.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert "comment" not in container.metadata


def test_metadata_is_kept_on_request(clips, out: Path) -> None:
    copy(clips.make("a.mkv", 20, tags=True), out / "b.mp4", keep_metadata=True)
    with av.open(str(out / "b.mp4")) as container:
        assert {key.lower(): value for key, value in container.metadata.items()}["title"] == "Anna"
        assert container.chapters()[0]["metadata"] == {"title": "Kitchen"}


@pytest.mark.parametrize("end", ["discard", "error"])
def test_nothing_is_left_of_an_unfinished_video(clips, out: Path, end: str) -> None:
    source = VideoSource(clips.make("a.mp4", 10))
    sink = VideoSink(out / "b.mp4", source.info)
    for frame in source:
        sink.write(frame)
    assert not (out / "b.mp4").exists()
    if end == "error":
        with pytest.raises(ValueError, match="the video 160x120"):
            sink.write(replace(frame, image=frame.image[:50]))
    sink.discard()
    assert list(out.iterdir()) == []


def test_video_without_frames_is_no_file(clips, out: Path) -> None:
    sink = VideoSink(out / "b.mp4", VideoSource(clips.make("a.mp4", 2)).info)
    with pytest.raises(OutputError, match="no frame"):
        sink.finish()
    assert list(out.iterdir()) == []


def test_full_disk_leaves_nothing(out: Path) -> None:
    noise = np.random.default_rng(0)
    info = VideoInfo(path=Path("x"), width=320, height=240, average_rate=Fraction(30), time_base=Fraction(1, 30))
    sink = VideoSink(out / "a.mp4", info, encoding=Encoding(preset="ultrafast", crf=5))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limit[1]))  # what a disk says when it is full: EFBIG for ENOSPC
    try:
        with pytest.raises(OutputError, match="disk is full"):  # noqa: PT012 - where it fills up is up to buffers
            for index in range(20):
                sink.write(Frame(noise.integers(0, 255, (240, 320, 3), np.uint8), index, Fraction(index, 30)))
            sink.finish()
        sink.discard()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(out.iterdir()) == []


def test_existing_file_and_unknown_suffix_are_refused(clips, out: Path) -> None:
    info = VideoSource(clips.make("a.mp4", 2)).info
    (out / "b.mp4").write_bytes(b"old")
    with pytest.raises(OutputError, match="--overwrite"):
        VideoSink(out / "b.mp4", info)
    with pytest.raises(UsageError, match=r"'\.xyz'; use one of .*\.mp4"):
        VideoSink(out / "b.xyz", info)
    assert os.listdir(out) == ["b.mp4"]


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (Encoding(codec="nonsense"), "nonsense"),
        (Encoding(codec="aac"), "aac"),
        (Encoding(options={"wobble": "1"}), "no option 'wobble'"),
        (Encoding(pixel_format="pal8"), "does not take the pixel format"),
    ],
)
def test_impossible_encoding_is_a_usage_error(clips, out: Path, encoding: Encoding, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        VideoSink(out / "b.mp4", VideoSource(clips.make("a.mp4", 2)).info, encoding=encoding)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "mpeg4", "mjpeg", "ffv1"])
def test_other_codecs(clips, out: Path, codec: str) -> None:
    path = clips.make("a.mp4", 4)
    written = copy(path, out / ("b.mkv" if codec == "ffv1" else "b.mp4"), encoding=Encoding(codec=codec))
    assert len(list(written)) == 4
    assert np.abs(next(iter(written)).image.astype(int) - clips.frame(0)).mean() < 6


def test_same_frames_give_the_same_bytes_on_a_busy_machine(clips, out: Path) -> None:
    info = VideoSource(clips.make("a.mp4", 10, size=(320, 240))).info
    frames = [np.roll(clips.frame(0, 320, 240), 9 * index, axis=1) for index in range(10)]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        made = set()
        for _ in range(12):
            sink = VideoSink(out / "b.mp4", info, overwrite=True)
            for index, image in enumerate(frames):
                sink.write(Frame(image, time=Fraction(index, 30)))
            sink.finish()
            made.add((out / "b.mp4").read_bytes())
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert len(made) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root's encoders raise themselves")
def test_no_encoder_takes_the_machine_for_itself(clips, out: Path) -> None:
    def policies() -> set[int]:
        return {os.sched_getscheduler(int(path.name)) for path in Path("/proc/self/task").iterdir()}

    before = policies()
    sink = VideoSink(out / "b.mp4", VideoSource(clips.make("a.mp4", 2)).info, encoding=Encoding(codec="libsvtav1"))
    assert policies() == before
    sink.write(Frame(clips.frame(0), time=Fraction(0)))
    assert policies() == before
    sink.finish()


def test_source_in_rgb_gets_tags_that_say_how_it_was_converted(out: Path) -> None:
    info = VideoInfo(path=Path("x"), width=64, height=48, colour=Colour(matrix=0), time_base=Fraction(1, 10))
    sink = VideoSink(out / "a.mp4", info)
    sink.write(Frame(np.full((48, 64, 3), (200, 40, 90), np.uint8)))
    sink.finish()
    written = VideoSource(out / "a.mp4")
    assert (written.info.colour.matrix, written.info.colour.range) == (6, 1)
    assert np.abs(next(iter(written)).image.astype(int) - (200, 40, 90)).max() <= 6
