"""Files that are no photo or video, are broken, too large, or have names that are paths."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.web.store import harmless_name


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says it is of this size, whatever it holds."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def small(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def passes(count: int) -> bytes:
    """A progressive JPEG of few bytes, each pass of which costs a walk over all its pixels."""
    content = small("JPEG", progressive=True)
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * count + b"\xff\xd9"


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photo.jpg", content)
    return buffer.getvalue()


def bad_uploads(media: Path) -> Iterator[tuple[str, bytes]]:
    """Thirty files that are no photo or video, are broken, or are larger than they look."""
    jpeg, clip = (media / "astronaut.jpg").read_bytes(), (media / "pan.mp4").read_bytes()
    yield "many_passes.jpg", passes(400)
    yield "empty.jpg", b""
    yield "one.jpg", b"\xff"
    yield "zeros.png", bytes(5000)
    yield "words.jpg", b"no picture at all" * 400
    yield "page.html.jpg", b"<!doctype html><script>alert(1)</script>" * 200
    yield "drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    yield "script.py", b"import os\nos.system('true')\n"
    yield "program", b"\x7fELF" + bytes(8000)
    yield "program.exe.mp4", b"MZ" + bytes(8000)
    yield "paper.pdf", b"%PDF-1.7\n" + bytes(5000)
    yield "drawing.ps", b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(5000)
    yield "zip_bomb.zip", zipped(bytes(50_000_000))
    yield "zip_bomb.jpg", zipped(bytes(10_000_000))
    yield "packed.jpg.gz", b"\x1f\x8b\x08" + zlib.compress(jpeg)
    yield "packed.tar", b"photo.jpg".ljust(257, b"\0") + b"ustar\0" + bytes(4000)
    yield "list.m3u8", b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\nhttp://127.0.0.1/secret\n"
    yield "list.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"
    yield "call.sdp", b"v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    yield "manifest.mpd", b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>'
    yield "polyglot.flv", b"FLV\x01\x05\0\0\0\x09" + b'<MPD profiles="urn:mpeg:dash:profile:isoff-live:2011">' * 100
    yield "huge.png", png(60_000, 60_000, zlib.compress(bytes(1000)))
    yield "huge_and_real.png", png(30_000, 30_000, zlib.compress(bytes(90_000_000), 9))
    yield "cut.jpg", jpeg[: len(jpeg) // 2]
    yield "cut.png", small("PNG")[:70]
    yield "broken.png", png(60, 40, b"not packed")
    yield "broken.webp", b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(200)
    yield "broken.gif", b"GIF89a" + b"\xff" * 300
    yield "broken.tif", b"II*\0" + b"\xff" * 500
    yield "broken.avif", b"\0\0\0\x20ftypavif" + bytes(600)
    yield "cut.mp4", clip[:3000]
    yield "broken.mkv", b"\x1a\x45\xdf\xa3" + b"\xff" * 6000


def test_thirty_bad_uploads_are_refused_and_leave_nothing(client, server, media: Path) -> None:
    refused = 0
    for name, content in bad_uploads(media):
        answer = client.post("/api/media", params={"name": name}, content=content)
        assert answer.status_code in (413, 415, 422), (name, answer.status_code, answer.text)
        said = answer.json()["error"]
        assert str(server.service.store._root) not in said, said
        assert "Traceback" not in said
        refused += 1
    assert refused >= 30
    assert client.get("/api/media").json() == []
    session = server.service.store.known(client.token)
    assert list(session.folder.iterdir()) == []


def test_file_larger_than_allowed_is_refused_before_and_while_it_comes(client, server) -> None:
    large = small("BMP") + bytes(2_000_000)
    assert client.post("/api/media", content=large).status_code == 413
    pieces = (large[at : at + 65536] for at in range(0, len(large), 65536))
    assert client.post("/api/media", content=pieces).status_code == 413  # without a length
    assert client.get("/api/media").json() == []


def test_long_video_and_large_picture_are_refused(client, clips) -> None:
    long = clips.make("long.mp4", times=list(range(0, 80, 8)), base=(1, 10))
    answer = client.post("/api/media", params={"name": "long.mp4"}, content=long.read_bytes())
    assert answer.status_code == 422
    assert "long.mp4: is 7 s long" in answer.json()["error"]
    buffer = io.BytesIO()
    Image.new("L", (1500, 1500)).save(buffer, "PNG")
    answer = client.post("/api/media", content=buffer.getvalue())
    assert answer.status_code == 422
    assert "1500x1500" in answer.json()["error"]


def test_video_that_goes_on_after_the_end_that_it_announces_fails(client, clips) -> None:
    path = clips.make("modest.mkv", frames=20, base=(1, 2))
    content = bytearray(path.read_bytes())
    at = content.index(b"\x44\x89\x88")  # Matroska: Duration, a float of 8 bytes
    content[at + 3 : at + 11] = struct.pack(">d", 1000.0)
    path.write_bytes(content)
    clip = client.send_file(path)
    assert clip["seconds"] == 1
    for task in ("detect", "anonymize"):
        failed = client.finish(client.begin(clip, task=task))
        assert failed["state"] == "failed"
        assert "goes on" in failed["error"]


def test_video_that_breaks_off_leaves_no_result(client, server, clips) -> None:
    """Nothing is better than a result of which a part was never anonymized."""
    whole = clips.make("whole.mkv", frames=60, options={"g": "10"})
    (broken := whole.with_name("broken.mkv")).write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    clip = client.send_file(broken)
    failed = client.finish(client.begin(clip))
    assert failed["state"] == "failed", failed
    for what in ("result", "preview", "frames/0"):
        assert client.get(f"/api/jobs/{failed['id']}/{what}").status_code == 409
    folder = server.service.store.known(client.token).find(clip["id"]).folder
    assert {path.name for path in folder.iterdir()} == {"source", "preview.jpg"}


@pytest.mark.parametrize(
    "name", ['a"; filename="b.html', "a\r\nX-Evil: 1.jpg", "a;b.jpg", "ünïcode\u2028.jpg", "<b>.jpg"]
)
def test_name_of_a_file_puts_nothing_into_headers(client, name: str) -> None:
    photo = client.post("/api/media", params={"name": name}, content=small("JPEG")).json()
    done = client.finish(client.begin(photo))
    for path in (f"/api/media/{photo['id']}/source", f"/api/jobs/{done['id']}/result"):
        answer = client.get(path)
        assert answer.status_code == 200
        disposition = answer.headers["content-disposition"]
        assert re.fullmatch(r"attachment; filename(=\"[\w. -]*\"|\*=utf-8''[\w.%~-]+)", disposition), disposition
        assert "x-evil" not in answer.headers
        assert answer.headers["content-type"] == "image/jpeg"


def test_session_holds_only_so_much(client, server, media: Path) -> None:
    content = (media / "astronaut.jpg").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.store, "_limits", replace(server.service.limits, session_bytes=100_000))
        assert client.post("/api/media", content=content).status_code == 201
        assert client.post("/api/media", content=content).status_code == 429
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.store, "_limits", replace(server.service.limits, session_media=1))
        assert client.post("/api/media", content=content).status_code == 429


def test_results_count_towards_what_a_session_may_hold(client, server, media: Path) -> None:
    photo = client.send_file(media / "astronaut.jpg")
    assert client.finish(client.begin(photo))["state"] == "done"
    held = photo["size"] + 50_000  # more than the upload alone, less than with its result
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.store, "_limits", replace(server.service.limits, session_bytes=held))
        refused = client.post("/api/jobs", json={"media": photo["id"], "anonymizer": "face_blur"})
    assert refused.status_code == 429


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../../etc/passwd",
            "..\\..\\boot.ini",
            "/etc/shadow",
            "a/../../b.jpg",
            "..",
            ".",
            "",
            "~root/.ssh/id",
            "CON",
        ),
        *("nul\0byte.jpg", "line\r\nSet-Cookie: x=1.jpg", "\u202egpj.exe", "x" * 900 + ".jpg", "%2e%2e%2fup.jpg"),
    ],
)
def test_name_of_a_file_is_never_a_path(client, server, media: Path, name: str) -> None:
    photo = client.post("/api/media", params={"name": name}, content=small("JPEG"))
    assert photo.status_code == 201, photo.text
    shown = photo.json()["name"]
    assert shown
    assert not set(shown) & set("/\\\0\r\n\u202e")
    assert shown not in (".", "..")
    session = server.service.store.known(client.token)
    assert {path.name for path in session.folder.iterdir()} == {held.id for held in session.media.values()}


def test_harmless_names_keep_what_is_harmless() -> None:
    assert harmless_name("Fête à Röros 2024.jpeg") == "Fête à Röros 2024.jpeg"
    assert harmless_name("C:\\photos\\a.png") == "a.png"
