"""`--keep-metadata` carries words about a video, and nothing that could be a picture."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dp2.sink.known_tags import sift, sift_chapter
from dp2.sink.video import VideoSink
from dp2.source.video import VideoSource

BYTES = random.Random(0).randbytes(3000)
CODED = base64.b64encode(BYTES).decode()
WRAPPED = "\n".join(CODED[start : start + 60] for start in range(0, 400, 60))


def copy(path: Path, target: Path) -> tuple[str, ...]:
    source = VideoSource(path)
    sink = VideoSink(target, source.info, keep_metadata=True, keep_audio=True)
    for frame in source:
        sink.write(frame)
    sink.finish()
    return sink.notes


def all_tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        parts = [*(chapter["metadata"] for chapter in container.chapters()), *(s.metadata for s in container.streams)]
        parts.append(container.metadata)
        return {key.lower(): value for part in parts for key, value in part.items()}


@pytest.mark.parametrize(
    "tags",
    [
        {"title": "Anna's birthday", "comment": "Cut on Sunday; see https://example.org/" + "a" * 150},
        {"TITLE": "誕生日のビデオ" * 40, "title-fin": "Syntymäpäivä"},
        {"creation_time": "2020-01-02T03:04:05.000000Z", "date": "2020", "DATE": "2020:01:02 03:04:05"},
        {"com.apple.quicktime.creationdate": "2020-01-02T03:04:05+0200", "com.apple.quicktime.model": "iPhone 13"},
        {"location": "+60.1699+024.9384/", "com.apple.quicktime.location.ISO6709": "+60.1+024.9+012.3/"},
        {"com.android.version": "14", "com.android.capture.fps": "30.000000", "track": "3/12", "language": "en-GB"},
        {"copyright": "© 2020 Donaudampfschifffahrtsgesellschaft"},
    ],
)
def test_words_about_the_video_are_kept(tags: dict[str, str]) -> None:
    assert sift(tags).kept == tags


@pytest.mark.parametrize(
    "tags",
    [
        {"COVER": CODED},
        {"cover": "short"},
        {"title": CODED[:400]},
        {"title": WRAPPED},
        {"comment": " ".join(CODED[start : start + 40] for start in range(0, 400, 40))},
        {"comment": "word " * 101},
        {"comment": "a\x00b"},
        {"comment": "a\x1b[31mb"},
        {"description": BYTES[:80].hex()},
        {"artist": "Anna " * 21},
        {"creation_time": "2020-01-02 " + CODED[:20]},
        {"date": "yesterday"},
        {"location": "Helsinki"},
        {"language": CODED[:12]},
        {"track": "1" * 30},
        {"METADATA_BLOCK_PICTURE": CODED},
        {"my.own": "key"},
        {"com.apple.quicktime.artwork": "x"},
    ],
)
def test_what_may_be_a_picture_is_refused_and_named(tags: dict[str, str]) -> None:
    sifted = sift(tags)
    assert sifted.kept == {}
    assert sifted.refused == tuple(tags)


def test_all_tags_together_are_too_short_for_a_picture() -> None:
    many = {f"title-{chr(97 + i // 26)}{chr(97 + i % 26)}a": "some words " * 40 for i in range(600)}
    kept = sift(many).kept
    assert 0 < sum(map(len, kept.values())) <= 4_000


def test_timecode_and_what_muxers_write_go_without_a_word() -> None:
    sifted = sift({"timecode": "01:00:00:00", "ENCODER": "Lavf59", "rotate": "90", "DURATION": "00:00:01"})
    assert (sifted.kept, sifted.refused) == ({}, ())


def test_chapter_keeps_a_short_title() -> None:
    sifted = sift_chapter({"title": "Kitchen", "comment": "x"})
    assert (sifted.kept, sifted.refused) == ({"title": "Kitchen"}, ("comment",))
    assert sift_chapter({"title": CODED}).refused == ("title",)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_tags_of_file_stream_and_chapter(clips, tmp_path: Path, suffix: str) -> None:
    path = made(clips.folder / "a.mkv", {"COVER": CODED, "title": "Anna"}, {"SCREEN": CODED}, {"title": CODED})
    target = tmp_path / f"b{suffix}"
    notes = copy(path, target)
    assert CODED[:40].encode() not in target.read_bytes()
    assert all_tags(target)["title"] == "Anna"
    assert len(notes) == 1
    assert "COVER" in notes[0]
    assert "SCREEN" in notes[0]


def test_timecode_attachment_and_subtitles_are_left_out(clips, tmp_path: Path) -> None:
    source = clips.make("a.mov", 10, tags=True)
    assert b"tmcd" in source.read_bytes()  # its timecode is a track
    notes = copy(source, tmp_path / "b.mov")
    assert b"tmcd" not in (tmp_path / "b.mov").read_bytes()
    assert "timecode" not in all_tags(tmp_path / "b.mov")
    assert any("data streams" in note for note in notes)

    attached = clips.folder / "c.mkv"
    made(attached, {}, {}, {}, attachment=b"SECRET" * 50)
    notes = copy(attached, tmp_path / "c.mkv")
    assert b"SECRET" not in (tmp_path / "c.mkv").read_bytes()
    assert any("attachments" in note for note in notes)


def test_picture_in_a_tag_of_the_case(shared_cases: Path, tmp_path: Path) -> None:
    for suffix in (".mkv", ".mp4"):
        notes = copy(shared_cases / "mkv_tag_base64_jpeg.mkv", tmp_path / f"b{suffix}")
        assert any("COVER" in note for note in notes)
        assert "cover" not in all_tags(tmp_path / f"b{suffix}")
        assert b"/9j/" not in (tmp_path / f"b{suffix}").read_bytes()


def made(path: Path, whole: Mapping[str, str], stream: Mapping[str, str], chapter: Mapping[str, str],
         attachment: bytes | None = None) -> Path:  # fmt: skip
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.codec_context.width, video.codec_context.height, video.codec_context.pix_fmt = 64, 48, "yuv420p"
        if attachment is not None:
            out.add_attachment("secret.txt", "text/plain", attachment)
        out.metadata.update(whole)
        video.metadata.update(stream)
        out.set_chapters([
            {"id": 1, "start": 0, "end": 300, "time_base": Fraction(1, 1000), "metadata": dict(chapter)}
        ])  # fmt: skip
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 50 * index, np.uint8), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path
