"""What a file holds beside the pictures that are read: a word for each thing that is left out."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dp2.source.video import VideoSource


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_further_video_streams(clips, name: str, count: int) -> None:
    path: Path = clips.folder / name
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("libx264", rate=25) for _ in range(count)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(25):
            for place, stream in enumerate(streams):
                picture = np.full((120, 160, 3), 20 + 60 * place, np.uint8)
                picture[:, 4 * index : 4 * index + 9] = 250
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        for stream in streams:
            out.mux(stream.encode())
    source = VideoSource(path)
    words = "1 further video stream was left out" if count == 2 else "2 further video streams were left out"
    assert words in source.notes
    frames = list(source)
    assert len(frames) == 25
    assert abs(int(frames[0].image[60, 120, 0]) - 20) < 4


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"), [("a.mov", "prores_ks", "yuva444p10le"), ("a.mkv", "ffv1", "yuva420p")]
)
def test_transparency(clips, name: str, codec: str, pix_fmt: str) -> None:
    assert any("transparency" in note for note in VideoSource(clips.make(name, 3, codec=codec, pix_fmt=pix_fmt)).notes)


def test_transparency_that_webm_keeps_beside_the_pictures(clips) -> None:
    plain = clips.make("p.webm", 3, codec="libvpx-vp9")
    path = clips.folder / "a.webm"
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        video = source.streams.video[0]
        made = out.add_stream_from_template(video, opaque=True)
        made.metadata["alpha_mode"] = "1"
        for packet in source.demux(video):
            if packet.size:
                packet.stream = made
                out.mux(packet)
    assert any("transparency" in note for note in VideoSource(path).notes)
    assert VideoSource(plain).notes == ()
