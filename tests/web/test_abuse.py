"""What others try with a server: bad files, other people's results, other sites' pages, wrong names, dead workers."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import signal
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from dp2.web.limits import Limits
from dp2.web.store import Store, harmless_name


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


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photo.jpg", content)
    return buffer.getvalue()


def bad_uploads(media: Path) -> Iterator[tuple[str, bytes]]:
    """Thirty files that are no photo or video, are broken, or are larger than they look."""
    jpeg, clip = (media / "astronaut.jpg").read_bytes(), (media / "pan.mp4").read_bytes()
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
    session = server.service.store.known(client.cookies["dp2_session"])
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


def test_session_holds_only_so_much(client, server, media: Path) -> None:
    content = (media / "astronaut.jpg").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.store, "_limits", replace(server.service.limits, session_bytes=100_000))
        assert client.post("/api/media", content=content).status_code == 201
        assert client.post("/api/media", content=content).status_code == 429
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.store, "_limits", replace(server.service.limits, session_media=1))
        assert client.post("/api/media", content=content).status_code == 429


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
    session = server.service.store.known(client.cookies["dp2_session"])
    assert {path.name for path in session.folder.iterdir()} == {held.id for held in session.media.values()}


def test_paths_lead_nowhere(client, server) -> None:
    raw = httpx.Client(base_url=server.url)
    for path in ("/../etc/passwd", "/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page//etc/passwd",
                 "/api/media/..%2f..%2f/preview", "/api/jobs/../../etc/frames/0", "/api/jobs/%00/result"):  # fmt: skip
        assert raw.get(path).status_code in (400, 404), path


@pytest.mark.parametrize("name", ["../configs/anonymizers/face_blur.py", "/tmp/evil.py", "face_blur.py", "_face", ""])
def test_anonymizers_are_known_by_name_only(client, media: Path, name: str) -> None:
    photo = client.send_file(media / "astronaut.jpg")
    answer = client.post("/api/jobs", json={"media": photo["id"], "anonymizer": name})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        *({"keep": ["face:0"]}, {"keep": ["../x"]}, {"keep": "face:0"}, {"detections": "nobody"}, {"task": "shell"}),
        *({"extra": 1}, {"references": ["nobody"]}, {"media": "../.."}),
    ],
)
def test_malformed_jobs_are_refused(client, media: Path, wrong: dict[str, object]) -> None:
    photo = client.send_file(media / "astronaut.jpg")
    answer = client.post("/api/jobs", json={"media": photo["id"], "anonymizer": "face_blur", **wrong})
    assert answer.status_code in (400, 404, 409), answer.text
    assert "error" in answer.json()


def test_detections_of_another_file_are_refused(client, media: Path) -> None:
    one, other = client.send_file(media / "astronaut.jpg"), client.send_file(media / "grace_hopper.jpg")
    found = client.finish(client.begin(one, task="detect"))
    wanted = {"media": other["id"], "anonymizer": "face_blur", "detections": found["id"]}
    assert client.post("/api/jobs", json=wanted).status_code == 409
    wanted |= {"media": one["id"], "anonymizer": "face_mosaic"}
    assert client.post("/api/jobs", json=wanted).status_code == 409


def test_nobody_reads_another_sessions_files_or_results(client, server, media: Path) -> None:
    photo = client.send_file(media / "astronaut.jpg")
    found = client.finish(client.begin(photo, task="detect"))
    done = client.finish(client.begin(photo))
    paths = [f"/api/media/{photo['id']}/{what}" for what in ("preview", "source")]
    paths += [f"/api/jobs/{done['id']}{what}" for what in ("", "/result", "/preview")]
    paths += [f"/api/jobs/{found['id']}/frames/0"]
    with server.client() as stranger:
        stranger.send_file(media / "grace_hopper.jpg")
        for path in paths:
            assert client.get(path).status_code == 200, path
            assert stranger.get(path).status_code == 404, path
        assert stranger.delete(f"/api/media/{photo['id']}").status_code == 404
        assert stranger.delete(f"/api/jobs/{done['id']}").status_code == 404
        assert stranger.post(f"/api/jobs/{done['id']}/cancel").status_code == 404
        assert stranger.post("/api/jobs", json={"media": photo["id"], "anonymizer": "face_blur"}).status_code == 404
        assert stranger.get("/api/jobs").json() == []
    with server.client(cookies={"dp2_session": client.cookies["dp2_session"][:-1] + "0"}) as forger:
        assert all(forger.get(path).status_code == 404 for path in paths)
    assert client.get(paths[0]).status_code == 200


def test_cookie_and_folders_are_private(server, media: Path) -> None:
    with server.client() as client:
        answer = client.get("/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        photo = client.send_file(media / "astronaut.jpg")
        place = server.service.store.known(client.cookies["dp2_session"]).find(photo["id"]).folder
        while place != server.service.store._root.parent.parent:
            assert stat.S_IMODE(place.stat().st_mode) == 0o700, place
            place = place.parent


def test_every_answer_has_the_security_headers(client, server) -> None:
    answers = [client.get(path) for path in ("/", "/page/app.js", "/api/about", "/api/jobs/x", "/nothing")]
    answers.append(client.get("/", headers={"host": "evil.example"}))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers or "uvicorn" in answer.headers["server"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "", "[::2]"])
def test_rebound_names_are_refused(client, host: str) -> None:
    assert client.get("/api/about", headers={"host": host}).status_code in (400, 421)


@pytest.mark.parametrize(
    "headers",
    [
        *({"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"}),
        *({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"content-encoding": "gzip"}),
    ],
)
def test_other_sites_cannot_send_requests(client, media: Path, headers: dict[str, str]) -> None:
    content = (media / "astronaut.jpg").read_bytes()
    assert client.post("/api/media", content=content, headers=headers).status_code in (403, 415)
    assert client.get("/api/media").json() == []


def test_link_from_elsewhere_leads_to_the_front_door_only(client) -> None:
    arrives = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=arrives).status_code == 200
    assert client.get("/api/media", headers=arrives).status_code == 403


def test_own_page_may_send_requests(client, server) -> None:
    own = {"origin": server.url, "sec-fetch-site": "same-origin"}
    assert client.post("/api/media", content=small("JPEG"), headers=own).status_code == 201


def test_fifty_parallel_jobs_are_done_in_order(client, server) -> None:
    photo = client.post("/api/media", content=small("JPEG")).json()

    async def submit() -> list[dict[str, object]]:
        async with httpx.AsyncClient(base_url=server.url, timeout=60, cookies=dict(client.cookies)) as many:
            wanted = {"media": photo["id"], "anonymizer": "face_blur"}
            answers = await asyncio.gather(*(many.post("/api/jobs", json=wanted) for _ in range(50)))
            return [answer.json() for answer in answers]

    assert len({job["id"] for job in asyncio.run(submit())}) == 50
    deadline = time.monotonic() + 120
    order = {"done": 0, "running": 1, "queued": 2}
    while True:
        jobs = client.get("/api/jobs").json()
        states = [order[job["state"]] for job in jobs]
        assert states == sorted(states), "a later job overtook an earlier one"
        assert states.count(1) <= 1, "two jobs ran at a time"
        assert [job["place"] for job in jobs if job["place"]] == list(range(1, states.count(2) + 1))
        if not any(states):
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(jobs) == 50


def test_queue_is_not_endless(client, server, media: Path) -> None:
    clip = client.send_file(media / "pan.mp4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.queue, "_limits", replace(server.service.limits, session_jobs=2))
        jobs = [client.begin(clip), client.begin(clip)]
        third = client.post("/api/jobs", json={"media": clip["id"], "anonymizer": "face_blur"})
        assert third.status_code == 429
    for job in jobs:
        client.post(f"/api/jobs/{job['id']}/cancel")


def test_killed_workers_job_fails_cleanly_and_the_next_one_runs(client, server, media: Path) -> None:
    clip, photo = client.send_file(media / "pan.mp4"), client.send_file(media / "astronaut.jpg")
    doomed, waiting = client.begin(clip), client.begin(photo)
    client.until(doomed, lambda now: now["state"] == "running" and now["done"] > 0)
    os.kill(server.service.workers[0].pid, signal.SIGKILL)
    failed = client.finish(doomed)
    assert failed["state"] == "failed"
    assert "ended unexpectedly" in failed["error"]
    assert client.get(f"/api/jobs/{doomed['id']}/result").status_code == 409
    assert client.finish(waiting)["state"] == "done"
    own = server.service.store.known(client.cookies["dp2_session"]).find(clip["id"]).folder
    assert {path.name for path in own.iterdir()} == {"source", "preview.jpg"}


def test_job_that_takes_too_long_is_ended(client, server, media: Path) -> None:
    clip = client.send_file(media / "pan.mp4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service, "limits", replace(server.service.limits, job_seconds=0.2))
        failed = client.finish(client.begin(clip))
    assert failed["state"] == "failed"
    assert "longer than" in failed["error"]


def test_unused_sessions_are_deleted_and_running_ones_are_not(server, media: Path) -> None:
    with server.client() as idle, server.client() as busy:
        for client in (idle, busy):
            client.send_file(media / "astronaut.jpg")
        sessions = [server.service.store.known(client.cookies["dp2_session"]) for client in (idle, busy)]
        sessions[0].used -= server.service.limits.keep_seconds + 1
        server.call(server.service.sweep())
        assert not sessions[0].folder.exists()
        assert idle.get("/api/media").json() == []
        assert len(busy.get("/api/media").json()) == 1
        server.service.store.drop(sessions[1])


def test_folder_of_a_server_that_was_killed_is_deleted_by_the_next(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = Store(Limits())
    abandoned = first._root.with_name("abandoned")
    (abandoned / "session").mkdir(parents=True)
    second = Store(Limits())
    assert not abandoned.exists()
    assert first._root.is_dir(), "that of a server that runs stays"
    for store in (first, second):
        store.close()
    assert list(first._root.parent.iterdir()) == []


def test_harmless_names_keep_what_is_harmless() -> None:
    assert harmless_name("Fête à Röros 2024.jpeg") == "Fête à Röros 2024.jpeg"
    assert harmless_name("C:\\photos\\a.png") == "a.png"


def test_password_is_asked_for_everything(guarded) -> None:
    with guarded.client() as client:
        for path in ("/", "/page/app.js", "/api/about", "/api/openapi.json"):
            assert client.get(path).status_code == 401
            assert client.get(path, auth=("anna", "wrong horse")).status_code == 401
        assert "dp2_session" not in client.cookies
        malformed = base64.b64encode(b"\xff\xfe").decode()
        assert client.get("/", headers={"authorization": f"Basic {malformed}"}).status_code == 401
        assert client.get("/", auth=("anna", "correct horse")).status_code == 200
        assert client.get("/").status_code == 200, "a session that was let in stays in"


def test_results_count_towards_what_a_session_may_hold(client, server, media: Path) -> None:
    photo = client.send_file(media / "astronaut.jpg")
    assert client.finish(client.begin(photo))["state"] == "done"
    held = photo["size"] + 50_000  # more than the upload alone, less than with its result
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.store, "_limits", replace(server.service.limits, session_bytes=held))
        refused = client.post("/api/jobs", json={"media": photo["id"], "anonymizer": "face_blur"})
    assert refused.status_code == 429
