"""Names that look like addresses, and texts that name other files: nothing but the file itself is ever opened."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from dp2.errors import UnreadableMedia
from dp2.media.ffmpeg_open import STREAM_SCHEMES, open_stream
from dp2.sink.video import VideoSink
from dp2.source.camera import CameraSource
from dp2.source.probe import audio_codecs
from dp2.source.video import VideoSource

PORT_NAMES = ("http:{}", "tcp:{}", "rtmp:{}", "https:{}")


class Listener:
    """A port of this machine that counts who comes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.visits = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.visits += 1
            connection.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.socket.close()


NAMES = (
    "http:host",
    "tcp:127.0.0.1:9",
    "concat:a.mp4|b.mp4",
    "subfile,,start,0,end,9,,:a.mp4",
    "file:a.mp4",
    "12:30.mp4",
    "data:,x",
    "pipe:0",
    "cache:a.mp4",
    "x%03d.mp4",
    "-i.mp4",
)


@pytest.mark.parametrize("name", NAMES)
def test_name_that_looks_like_an_address_is_a_file(
    clips, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = clips.make("a.mp4", 5, audio="aac")
    shutil.copy(clips.make("b.mp4", 1), "a.mp4")  # what FFmpeg would find for file:a.mp4
    shutil.copy(clip, name)
    assert len(list(VideoSource(name))) == 5
    assert audio_codecs(Path(name)) == ("aac",)


def test_output_whose_path_looks_like_an_address(clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("tcp:127.0.0.1:9")
    folder.mkdir()
    shutil.copy(clips.make("a.mp4", 5, audio="aac", tags=True), folder / "12:30.mp4")
    source = VideoSource(folder / "12:30.mp4")
    sink = VideoSink(folder / "o.mp4", source.info, keep_audio=True, keep_metadata=True)
    for frame in source:
        sink.write(frame)
    sink.finish()
    with av.open(str((folder / "o.mp4").absolute())) as made:
        assert (len(made.streams.video), len(made.streams.audio)) == (1, 1)


def test_nobody_is_called_because_of_a_name(
    clips, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = clips.make("a.mp4", 5)
    for pattern in PORT_NAMES:
        name = pattern.format(listener.address)
        shutil.copy(clip, name)
        assert len(list(VideoSource(name))) == 5
        with pytest.raises(UnreadableMedia, match="cannot be read"):
            VideoSource(f"{name}9")  # no such file
    assert listener.visits == 0


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".txt", ".sdp"])
def test_text_that_names_others_is_no_video(clips, listener: Listener, tmp_path: Path, suffix: str) -> None:
    secret = clips.make("secret.mp4", 5)
    url = f"http://{listener.address}/x.ts"
    texts = {
        "ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "ffconcat of addresses": f"ffconcat version 1.0\nfile {url}\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "dash": f'<?xml version="1.0"?>\n<MPD type="static"><Period><BaseURL>{url}</BaseURL></Period></MPD>',
        "asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "imf": '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"></AssetMap>',
    }
    for words in texts.values():
        path = tmp_path / f"text{suffix}"
        path.write_text(words)
        with pytest.raises(UnreadableMedia, match="a text that names other files or hosts"):
            VideoSource(path)
        with pytest.raises(UnreadableMedia):
            audio_codecs(path)
    assert listener.visits == 0


def test_text_is_called_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.ans").write_text("\x1b[31mred\x1b[0m and more\n" * 99)  # FFmpeg draws these
    with pytest.raises(UnreadableMedia, match="not a video but a text"):
        VideoSource(tmp_path / "a.ans")


def test_shared_concat(shared_cases: Path) -> None:
    with pytest.raises(UnreadableMedia, match="names other files"):
        VideoSource(shared_cases / "v_concat.mp4")


@pytest.mark.parametrize("device", ["concat://a|b", "data://x", "ftp://host/x", "subfile://x", "pipe://0"])
def test_camera_address_of_another_kind(device: str) -> None:
    with pytest.raises(UnreadableMedia, match=r"no such kind of address; known are .*rtsp"):
        CameraSource(device)


def test_camera_name_is_no_file(clips, tmp_path: Path) -> None:
    clip = clips.make("a.mp4", 5)
    with pytest.raises(UnreadableMedia, match="there is no camera"):
        CameraSource(str(clip))


@pytest.mark.parametrize("scheme", sorted(STREAM_SCHEMES & {"http", "tcp"}))
def test_stream_of_a_text_that_names_a_file_is_not_followed(clips, tmp_path: Path, scheme: str) -> None:
    """A server that answers with a playlist of local files gets nothing of them."""
    secret = clips.make("secret.ts", 5)
    body = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n".encode()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                if scheme == "http":
                    connection.recv(4096)
                    kind = b"Content-Type: application/vnd.apple.mpegurl\r\n"
                    connection.sendall(b"HTTP/1.0 200 OK\r\n" + kind + b"\r\n")
                connection.sendall(body)

    threading.Thread(target=serve, daemon=True).start()
    url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/x.m3u8"
    try:
        with pytest.raises(av.FFmpegError), open_stream(url, 5.0) as container:
            list(container.decode(video=0))
    finally:
        server.close()
