"""Interlaced video stays marked, or becomes progressive on request; a word is said either way."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dp2.media.frame_manifest import FrameManifest
from dp2.media.video_info import Fields
from dp2.sink.encoder import Encoding
from dp2.sink.frame_folder import FrameFolderSink
from dp2.sink.video import VideoSink
from dp2.source.frame_folder import FrameFolderSource
from dp2.source.video import VideoSource


def interlaced(clips, name: str = "a.mp4", order: str = "tff", count: int = 12) -> Path:
    """A bar that moves from field to field."""
    first = 0 if order == "tff" else 1
    path: Path = clips.folder / name
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "5", "x264-params": f"{order}=1"})
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
        graph = av.filter.Graph()
        start = graph.add_buffer(width=160, height=128, format="yuv420p", time_base=Fraction(1, 25))
        graph.link_nodes(start, graph.add("setfield", order), graph.add("buffersink")).configure()
        for index in range(count):
            fields = [bar(2 * index + place) for place in range(2)]
            woven = np.empty((128, 160, 3), np.uint8)
            woven[first::2], woven[1 - first :: 2] = fields[0][first::2], fields[1][1 - first :: 2]
            graph.push(av.VideoFrame.from_ndarray(woven, "rgb24").reformat(format="yuv420p"))
            out.mux(stream.encode(graph.pull()))
        out.mux(stream.encode())
    return path


def bar(moment: int) -> np.ndarray:
    """(128, 160, 3) uint8, smooth from top to bottom, a bright bar 6 pixels further each moment."""
    image = np.repeat(np.linspace(20, 120, 128)[:, None, None], 160, 1).repeat(3, 2)
    x = 6 * moment % 140
    image[:, x : x + 16] = 230
    return image.astype(np.uint8)


def combing(image: np.ndarray) -> float:
    """How much more neighbouring lines differ than lines of one field."""
    grey = image.astype(float).mean(2)
    return float(np.abs(grey[1:] - grey[:-1]).mean() - np.abs(grey[2:] - grey[:-2]).mean())


def written(path: Path) -> tuple[int, set[bool], int]:
    with av.open(str(path)) as out:
        stream = out.streams.video[0]
        frames = list(out.decode(stream))
        return stream.codec_context.field_order, {frame.interlaced_frame for frame in frames}, len(frames)


def copy(source: VideoSource, target: Path, **options: object) -> VideoSink:
    sink = VideoSink(target, source.info, **options)
    for frame in source:
        sink.write(frame)
    sink.finish()
    return sink


@pytest.mark.parametrize(("order", "number", "fields"), [("tff", 2, Fields.TOP_FIRST), ("bff", 3, Fields.BOTTOM_FIRST)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_stays_marked(clips, tmp_path: Path, order: str, number: int, fields: Fields, suffix: str) -> None:
    source = VideoSource(interlaced(clips, f"a{suffix}", order))
    assert source.info.fields is fields
    assert any("it is interlaced" in note for note in source.notes)
    sink = copy(source, tmp_path / "o.mp4")
    assert sink.notes == ()
    assert written(tmp_path / "o.mp4") == (number, {True}, 12)


def test_lines_stay_in_their_field(clips, tmp_path: Path) -> None:
    """Nothing is blended between the fields on the way, colour included."""
    source = VideoSource(interlaced(clips))
    before = [frame.image for frame in source]
    copy(source, tmp_path / "o.mp4", encoding=Encoding(crf=5))
    after = [frame.image for frame in VideoSource(tmp_path / "o.mp4")]
    assert min(combing(image) for image in before) > 3
    for a, b in zip(before, after, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 2


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_deinterlaced_on_request(clips, tmp_path: Path, order: str) -> None:
    path = interlaced(clips, "a.mp4", order)
    plain, source = VideoSource(path), VideoSource(path, deinterlace=True)
    woven, frames = list(plain), list(source)
    assert [frame.time for frame in frames] == [frame.time for frame in woven]
    assert [frame.duration for frame in frames] == [frame.duration for frame in woven]
    assert max(combing(frame.image) for frame in frames[1:-1]) < 0.5
    for index, frame in enumerate(frames[2:-2], 2):
        assert np.abs(frame.image.astype(int) - bar(2 * index)).mean() < 8  # the earlier field
    assert source.info.fields is Fields.NONE
    assert source.notes == ()
    copy(source, tmp_path / "o.mp4")
    assert written(tmp_path / "o.mp4") == (1, {False}, 12)


def test_span_and_scaling_of_deinterlaced(clips) -> None:
    source = VideoSource(interlaced(clips, count=30), deinterlace=True, start=0.4, end=0.8, max_res=80)
    frames = list(source)
    assert [frame.time * 25 for frame in frames] == list(range(10, 20))
    assert frames[0].image.shape == (64, 80, 3)


def test_progressive_video_is_left_alone(clips) -> None:
    path = clips.make("a.mp4", 5)
    plain, asked = list(VideoSource(path)), list(VideoSource(path, deinterlace=True))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(plain, asked, strict=True))
    assert VideoSource(path).notes == ()


def test_salvage_of_deinterlaced_keeps_the_last_whole_frame(clips) -> None:
    path = interlaced(clips, "a.ts", count=60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    plain, asked = VideoSource(path, salvage=True), VideoSource(path, salvage=True, deinterlace=True)
    assert len(list(asked)) == len(list(plain)) > 20


def test_encoder_that_cannot_mark_says_so(clips, tmp_path: Path) -> None:
    source = VideoSource(interlaced(clips))
    sink = copy(source, tmp_path / "o.webm")
    assert any("does not mark it as interlaced" in note for note in sink.notes)


def test_scaling_mixes_the_fields_with_a_word(clips) -> None:
    source = VideoSource(interlaced(clips), max_res=80)
    assert source.info.fields is Fields.LOST
    assert any("fields are mixed" in note for note in source.notes)


def test_frame_folder_remembers(clips, tmp_path: Path) -> None:
    source = VideoSource(interlaced(clips, count=3))
    sink = FrameFolderSink(tmp_path / "frames", source.info)
    for frame in source:
        sink.write(frame)
    sink.finish()
    again = FrameFolderSource(tmp_path / "frames")
    assert again.info.fields is Fields.TOP_FIRST
    assert "fields" not in FrameManifest(VideoSource(clips.make("p.mp4", 2)).info, ()).dumps()
