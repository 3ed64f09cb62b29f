"""The camera's door, without a camera."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from dp2.web import live


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def camera(server, query: str = "", **headers: str):
    return connect(f"ws://{server.host}/api/live?{query}", additional_headers=headers, open_timeout=60)


def until_running(socket) -> None:
    while json.loads(socket.recv(120))["state"] != "running":
        pass


def test_face_in_front_of_the_camera_is_changed(server, media: Path) -> None:
    photo = Image.open(media / "astronaut.jpg")
    with camera(server) as socket:
        until_running(socket)
        for _ in range(3):
            socket.send(jpeg(photo))
            assert json.loads(socket.recv(60))["people"] == {"face": 1}
            back = np.asarray(Image.open(io.BytesIO(socket.recv(60)))).astype(int)
    difference = np.abs(back - np.asarray(photo.convert("RGB"))).mean(axis=2)
    assert difference[80:160, 190:260].mean() > 20, "the face"
    assert difference[400:, :].mean() < 5, "the rest"


def test_camera_that_hangs_up_frees_the_worker(server, client, media: Path) -> None:
    with camera(server) as socket:
        until_running(socket)
        waiting = client.begin(client.send_file(media / "astronaut.jpg"))
        assert client.job(waiting)["state"] == "queued"
    assert client.finish(waiting)["state"] == "done"


@pytest.mark.parametrize("picture", [b"no jpeg", jpeg(Image.new("L", (3000, 2000)))], ids=["words", "large"])
def test_what_is_no_small_jpeg_ends_the_camera(server, picture: bytes) -> None:
    with camera(server) as socket:
        until_running(socket)
        socket.send(picture)
        last = json.loads(socket.recv(60))
        assert last["state"] == "ended"
        assert last["error"]


def test_each_picture_is_answered_however_fast_they_come(server) -> None:
    """None is dropped, and none waits in the server's memory: whoever sends too fast has to wait himself."""
    count = 40
    with camera(server) as socket:
        until_running(socket)
        for shade in range(count):
            socket.send(jpeg(Image.new("RGB", (64, 48), (6 * shade, 0, 0))))
        shades = []
        for _ in range(count):
            assert json.loads(socket.recv(60))["state"] == "running"
            shades.append(int(np.asarray(Image.open(io.BytesIO(socket.recv(60))))[24, 32, 0]))
    assert shades == pytest.approx([6 * shade for shade in range(count)], abs=4)


def test_camera_that_sends_nothing_does_not_keep_others_waiting(server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SILENCE", 0.3)
    with camera(server) as socket:
        until_running(socket)
        last = json.loads(socket.recv(20))
    assert last["state"] == "ended"
    assert "no picture came" in last["error"]


def test_camera_cannot_use_another_sessions_faces(server, client, media: Path) -> None:
    known = client.send_file(media / "grace_hopper.jpg")
    with camera(server, f"references={known['id']}") as socket:
        assert "no such upload" in json.loads(socket.recv(60))["error"]


def test_unknown_anonymizer_is_said(server) -> None:
    with camera(server, "anonymizer=../evil") as socket:
        assert "no anonymizer" in json.loads(socket.recv(60))["error"]
        with pytest.raises(ConnectionClosed):
            socket.recv(60)


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_other_sites_cannot_open_the_camera(server, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused, camera(server, **headers):
        pass
    assert refused.value.response.status_code == 403


def test_camera_needs_the_password_too(guarded) -> None:
    with pytest.raises(InvalidStatus), camera(guarded):
        pass
