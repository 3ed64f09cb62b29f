"""Who is slow on purpose, comes a thousand times, or wants more than his share."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import WebSocketDisconnect
from PIL import Image

from dp2.web import guard, live, uploads
from dp2.web.auth import Attempts, Credentials, Tokens
from dp2.web.guard import Guard
from dp2.web.jobs import Job, State
from dp2.web.server import PatientNoLonger
from dp2.web.service import Service
from dp2.web.store import NotFound, Session


def tiny_photo() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


async def hello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that reads what it is sent and greets."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def gate(**settings: Any) -> Guard:
    chosen = {"any_address": False, "credentials": None, "tokens": Tokens(), **settings}
    return Guard(hello, hosts={"studio.local"}, **chosen)


def through(door: Guard, requests: list[tuple[str, dict[str, str]]], base: str = "http://studio.local") -> list[int]:
    async def go() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url=base) as client:
            return [(await client.request(method, "/", headers=headers)).status_code for method, headers in requests]

    return asyncio.run(go())


@pytest.mark.parametrize(
    "origin", ["http://[", "http://[::1", "//studio.local", "studio.local", "http://studio.local@x"]
)
def test_malformed_origins_are_refused(origin: str) -> None:
    assert through(gate(), [("GET", {"origin": origin}), ("POST", {"origin": origin})]) == [403, 403]


def test_same_name_without_tls_is_another_origin() -> None:
    origins = [("POST", {"origin": f"{scheme}://studio.local"}) for scheme in ("http", "https")]
    assert through(gate(secure=True), origins, "https://studio.local") == [403, 200]


def test_passwords_cannot_be_tried_by_the_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_WRONG_PASSWORD_DELAY", 0)
    right, wrong = "Basic YW5uYTpjb3JyZWN0IGhvcnNl", "Basic YW5uYTp3cm9uZyBob3JzZQ=="
    door = gate(credentials=Credentials("anna", "correct horse"))
    assert through(door, [("GET", {"authorization": right})]) == [200]
    said = through(door, [("GET", {"authorization": wrong})] * 40 + [("GET", {"authorization": right})])
    assert said.count(401) == 20
    assert said[-1] == 429, "then not even the right one tells that it is right"
    assert through(door, [("GET", {})]) == [401], "who gives none is asked for it"


def test_wrong_passwords_are_forgotten_after_a_minute_and_counted_by_network() -> None:
    now = 0.0
    attempts = Attempts(allowed=2, clock=lambda: now)
    for address in ("2001:db8::1", "2001:db8::2"):
        attempts.count(address)
    assert attempts.too_many("2001:db8::3")
    assert not attempts.too_many("2001:db8:0:1::3")
    assert not attempts.too_many("10.0.0.1")
    now = 61.0
    assert not attempts.too_many("2001:db8::1")


def test_request_that_comes_too_slowly_is_answered(server) -> None:
    async def slow() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    answers: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    headers = [(b"host", b"studio.local"), (b"content-length", b"20")]
    scope = {"type": "http", "method": "POST", "path": "/api/jobs", "scheme": "http", "headers": headers}
    asyncio.run(asyncio.wait_for(gate(body_seconds=0.05)(scope, slow, send), 10))
    assert answers[0]["status"] == 408
    assert (b"connection", b"close") in answers[0]["headers"]


def test_link_from_another_site_does_not_end_the_session(client) -> None:
    photo = client.post("/api/media", content=tiny_photo()).json()
    with httpx.Client(base_url=client.base_url) as follows:  # a browser keeps SameSite=Strict cookies to itself here
        arrives = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        answer = follows.get("/", headers=arrives)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers, "it would take the place of the one that holds the uploads"
    assert [held["id"] for held in client.get("/api/media").json()] == [photo["id"]]


def test_two_servers_of_one_machine_do_not_end_each_others_sessions(server, guarded) -> None:
    with server.client() as browser:  # cookies know no ports
        photo = browser.send_file_content(tiny_photo())
        browser.get(f"{guarded.url}/", auth=("anna", "correct horse"))
        assert len(browser.cookies) == 2
        assert [held["id"] for held in browser.get("/api/media").json()] == [photo["id"]]
        browser.delete(f"/api/media/{photo['id']}")


@contextlib.contextmanager
def connection(server) -> Iterator[socket.socket]:
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as opened:
        yield opened


def hung_up_after(opened: socket.socket, trickle: bytes) -> float:
    """Seconds until the server hangs up on somebody who sends a byte now and then."""
    began = time.monotonic()
    opened.settimeout(0.05)
    while time.monotonic() - began < 10:
        try:
            opened.sendall(trickle)
            if not opened.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("begins", "trickle"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nX: ", b"x"),
        (b"GET /api/about HTTP/1.1\r\nHost: %s\r\nContent-Length: 9000\r\n\r\n", b"x"),
    ],
    ids=["silent", "endless head", "body that nobody asked for"],
)
def test_connection_that_gets_nowhere_is_ended(
    server, begins: bytes, trickle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientNoLonger, "head_seconds", 0.4)
    with connection(server) as opened:
        opened.sendall(begins.replace(b"%s", server.host.encode()))
        assert 0.2 < hung_up_after(opened, trickle) < 5


def test_large_head_is_refused(server) -> None:
    with connection(server) as opened:
        opened.sendall(b"GET / HTTP/1.1\r\nHost: " + server.host.encode() + b"\r\n")
        with contextlib.suppress(OSError):
            for _ in range(40):
                opened.sendall(b"X: " + b"x" * 8000 + b"\r\n")
        with contextlib.suppress(OSError):
            assert opened.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("trickle", [b"", b"x"], ids=["silent", "slow"])
def test_upload_that_takes_for_ever_is_ended_and_leaves_nothing(
    server, trickle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_SILENCE", 0.5)
    with server.client() as client, connection(server) as opened:
        client.delete(f"/api/media/{client.send_file_content(tiny_photo())['id']}")
        session = server.service.store.known(client.token)
        head = f"POST /api/media HTTP/1.1\r\nHost: {server.host}\r\nCookie: {client.cookie}={client.token}\r\n"
        opened.sendall(head.encode() + b"Content-Length: 100000\r\n\r\n\xff\xd8\xff")
        opened.settimeout(0.1)
        said, deadline = b"", time.monotonic() + 10
        while not said and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                opened.sendall(trickle)
                said = opened.recv(65536)
        assert said.startswith(b"HTTP/1.1 422")
        assert list(session.folder.iterdir()) == []
        assert (session.coming, session.uploading) == (0, 0)


def test_uploads_on_their_way_count(server, client) -> None:
    client.delete(f"/api/media/{client.send_file_content(tiny_photo())['id']}")
    goes_on = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield tiny_photo()[:10]
        goes_on.wait(20)
        yield tiny_photo()[10:]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.store, "_limits", replace(server.service.limits, session_media=1))
        first: list[int] = []
        headers = {"content-length": str(len(tiny_photo()))}
        sends = threading.Thread(
            target=lambda: first.append(client.post("/api/media", content=slowly(), headers=headers).status_code)
        )
        sends.start()
        session = server.service.store.known(client.token)
        while not session.coming:
            time.sleep(0.01)
        with server.client(cookies={client.cookie: client.token}) as tab:
            assert tab.post("/api/media", content=tiny_photo()).status_code == 429
        goes_on.set()
        sends.join()
        assert first == [201]


def test_job_whose_session_was_filled_meanwhile_fails(server, client, media: Path) -> None:
    clip, photo = client.send_file(media / "pan.mp4"), client.send_file(media / "astronaut.jpg")
    first, second = client.begin(clip), client.begin(photo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.store, "_limits", replace(server.service.limits, session_bytes=1000))
        client.post(f"/api/jobs/{first['id']}/cancel")
        assert "holds as much as it may" in client.finish(second)["error"]


def test_no_job_comes_in_while_its_upload_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def go() -> None:
        service = Service(devices=())
        session = service.store.session("somebody's")
        media = service.store.new_media(session, "clip.mp4")
        session.media[media.id] = media
        running = Job(session, "detect", {}, 1.0, media=media)
        await service.queue.submit(running)
        service.queue._waiting.clear()  # as if a worker had it
        deletion = asyncio.create_task(service.delete_media(session, media))
        await asyncio.sleep(0.01)
        assert not deletion.done(), "it waits for the job"
        with pytest.raises(NotFound):
            session.find(media.id)
        running.end(State.CANCELLED)
        await deletion
        assert not media.folder.exists()
        service.store.close()

    asyncio.run(go())


class FalseSocket:
    """A browser that sends one picture and then hangs up."""

    def __init__(self) -> None:
        self.pictures = [b"a picture"]

    async def receive_bytes(self) -> bytes:
        if not self.pictures:
            raise WebSocketDisconnect
        return self.pictures.pop()


def test_camera_whose_turn_is_over_reaches_nobody_elses(tmp_path: Path) -> None:
    async def go() -> list[str]:
        fed: list[str] = []

        async def feed(frame: str) -> None:
            fed.append(frame)

        job = Job(Session(tmp_path), "live", {}, 1.0)
        camera = live._Camera(FalseSocket(), job)  # type: ignore[arg-type]
        camera._started(SimpleNamespace(feed=feed))  # type: ignore[arg-type]
        job.end(State.FAILED, "time is over; the worker has begun with somebody else")
        await camera._receive()
        return fed

    assert asyncio.run(go()) == []


def test_killed_server_leaves_no_pictures_behind(tmp_path: Path, media: Path) -> None:
    code = "from dp2.cli import main; main()"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", code, "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stderr.readline().split()[3]
            content = (media / "astronaut.jpg").read_bytes()
            assert httpx.post(f"{url}/api/media", content=content, timeout=60).status_code == 201
            assert list(tmp_path.rglob("source"))
        finally:
            process.kill()
    deadline = time.monotonic() + 20
    while list(tmp_path.rglob("source")) or list(tmp_path.glob("dp2-web-*/*")):
        assert time.monotonic() < deadline, list(tmp_path.rglob("*"))
        time.sleep(0.05)
