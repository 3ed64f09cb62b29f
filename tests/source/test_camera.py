from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from dp2.errors import UnreadableMedia
from dp2.source.camera import CameraSource


@pytest.fixture
def served(clips) -> Iterator[str]:
    """A stream as a network camera offers it: MPEG-TS over HTTP."""
    data = clips.make("a.ts", 20).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/cam.ts"
    server.shutdown()
    server.server_close()


def test_slow_reader_gets_the_newest_frame(clips) -> None:
    path = clips.make("a.mp4", 30)
    with CameraSource(path.as_uri()) as camera:
        assert camera.live
        frames = []
        for frame in camera:
            frames.append(frame)
            time.sleep(0.2)
    assert 2 <= len(frames) <= 10
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)
    assert frames[0].time == 0
    steps = [min(range(30), key=lambda i: abs(frame.image.mean() - clips.frame(i).mean())) for frame in frames]
    assert max(b - a for a, b in pairwise(steps)) >= 3


def test_network_stream(served: str) -> None:
    with CameraSource(served, max_res=80) as camera:
        assert (camera.info.width, camera.info.height) == (80, 60)
        frames = list(camera)
    assert frames
    assert frames[-1].image.shape == (60, 80, 3)


def test_closing_ends_the_iteration(clips) -> None:
    camera = CameraSource(clips.make("a.mp4", 60).as_uri())
    frames = iter(camera)
    next(frames)
    camera.close()
    assert len(list(frames)) <= 1


def test_missing_camera_is_one_clear_line() -> None:
    for device in ("97", "<video97>", "/dev/video97"):
        with pytest.raises(UnreadableMedia, match="no camera /dev/video97"):
            CameraSource(device)


def test_unreachable_stream_does_not_tell_the_password() -> None:
    with pytest.raises(UnreadableMedia, match="cannot be opened") as caught:
        CameraSource("rtsp://anna:secret@127.0.0.1:9/live")
    assert "secret" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="cannot be read"):
        CameraSource((tmp_path / "none.mp4").as_uri())
