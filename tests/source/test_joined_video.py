"""Recordings joined byte by byte, and packets that say that nothing changed."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from dp2.errors import UnreadableMedia
from dp2.sink.video import VideoSink
from dp2.source.video import VideoSource


def joined(clips, name: str, *lengths: int, **options: object) -> Path:
    """Clips of these numbers of frames, one file after the other."""
    suffix = Path(name).suffix
    parts = [clips.make(f"part{i}{suffix}", count, **options) for i, count in enumerate(lengths)]
    path: Path = clips.folder / name
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def copy(source: VideoSource, path: Path, target: Path, **span: float) -> None:
    sink = VideoSink(target, source.info, keep_audio=True, **span)
    for frame in source:
        sink.write(frame)
    sink.finish()


def test_times_go_on(clips) -> None:
    source = VideoSource(joined(clips, "a.ts", 40, 25, 30))
    frames = list(source)
    assert len(frames) == 95
    assert all(later.time - frame.time == frame.duration == Fraction(1, 30) for frame, later in pairwise(frames))
    for index, frame in enumerate(frames):
        of_part = index if index < 40 else index - 40 if index < 65 else index - 65
        assert np.abs(frame.image.astype(int) - clips.frame(of_part)).mean() < 4
    assert source.notes == ("it is joined from 3 recordings; times go on from one to the next",)
    assert len(list(source)) == 95
    assert len(source.notes) == 1


def test_program_stream(clips) -> None:
    path = joined(clips, "a.mpg", 30, 30, codec="mpeg2video")
    frames = list(VideoSource(path))
    assert len(frames) == 60
    assert all(frame.time < later.time < frame.time + Fraction(1, 10) for frame, later in pairwise(frames))


def test_span_counts_from_the_beginning_of_all(clips) -> None:
    path = joined(clips, "a.ts", 40, 40, options={"g": "10"})
    whole = list(VideoSource(path))
    start, end = Fraction(3, 2), Fraction(5, 2)
    part = list(VideoSource(path, start=1.5, end=2.5))
    expected = [frame for frame in whole if start <= frame.time < end]
    assert [frame.time for frame in part] == [frame.time for frame in expected]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(part, expected, strict=True))


@pytest.mark.parametrize("span", [{}, {"start": 1.5}])
def test_sound_stays_with_the_pictures(clips, tmp_path: Path, span: dict[str, float]) -> None:
    path = joined(clips, "a.ts", 60, 60, audio="aac")
    copy(VideoSource(path, **span), path, tmp_path / "o.ts", **span)
    with av.open(str(tmp_path / "o.ts")) as out:
        packets = [packet for packet in out.demux() if packet.size]
        last: dict[int, int] = {}
        for packet in packets:
            assert packet.dts > last.get(packet.stream_index, packet.dts - 1)
            last[packet.stream_index] = packet.dts
    with av.open(str(tmp_path / "o.ts")) as out:
        sound = [packet.pts * packet.time_base for packet in out.demux(out.streams.audio[0]) if packet.size]
    steps = [later - earlier for earlier, later in pairwise(sound)]
    assert max(steps) < Fraction(1, 8)  # a clip's sound ends up to a tenth of a second before its pictures
    assert sound[-1] - sound[0] > Fraction(18, 5) - Fraction(str(span.get("start", 0)))


def test_damage_away_from_a_joint_is_still_noticed(clips) -> None:
    path = joined(clips, "a.ts", 60, 60, options={"crf": "5", "g": "30"})
    data = path.read_bytes()
    lost = len(data) // 4 // 188 * 188
    path.write_bytes(data[:lost] + data[lost + 10 * 188 :])
    with pytest.raises(UnreadableMedia, match=r"frame|ends"):
        list(VideoSource(path))


def test_recording_that_begins_between_key_frames(clips, caplog) -> None:
    first, second = (
        clips.make(name, 60, options={"g": "20", "bf": "0", "sc_threshold": "0"}) for name in ("x.ts", "y.ts")
    )
    with av.open(str(second)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path = clips.folder / "a.ts"
    tables = second.read_bytes()[: 3 * 188]
    path.write_bytes(first.read_bytes() + tables + second.read_bytes()[places[5] :])
    frames = list(VideoSource(path))
    assert len(frames) == 100
    assert all(frame.time < later.time for frame, later in pairwise(frames))
    assert "begins between key frames" in caplog.text


def test_shared_concatenated(shared_cases: Path) -> None:
    frames = list(VideoSource(shared_cases / "concatenated.ts"))
    assert len(frames) == 26
    assert all(later.time - frame.time == Fraction(1, 25) for frame, later in pairwise(frames))


def test_empty_packet_keeps_the_frame_before(shared_cases: Path) -> None:
    """Of 13 packets 4 hold a frame; the others say that it stays."""
    frames = list(VideoSource(shared_cases / "theora_empty_packet.ogv"))
    assert [frame.time * 25 for frame in frames] == [0, 5, 10, 12]
    assert [frame.duration and frame.duration * 25 for frame in frames] == [5, 5, 2, 1]


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_empty_packets_of_other_containers(clips, name: str) -> None:
    plain = clips.make("plain.avi", 10, codec="mpeg4", options={"bf": "0"})
    path = clips.folder / name
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        video = source.streams.video[0]
        made = out.add_stream_from_template(video, opaque=True)
        for index, packet in enumerate(p for p in source.demux(video) if p.size):
            if index in {3, 4, 9}:
                empty = av.Packet(0)
                empty.pts, empty.dts, empty.duration, empty.time_base = (
                    packet.pts, packet.dts, packet.duration, packet.time_base,
                )  # fmt: skip
                packet = empty
            packet.stream = made
            out.mux(packet)
    frames = list(VideoSource(path))
    assert [round(frame.time * 30) for frame in frames] == [0, 1, 2, 5, 6, 7, 8]
