"""Other sessions, other sites, other names: who is let in, and what they see."""

from __future__ import annotations

import base64
import io
import stat
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image


def tiny_photo() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


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
        own = {"media": stranger.get("/api/media").json()[0]["id"], "anonymizer": "face_blur"}
        for borrowed in ({"references": [photo["id"]]}, {"detections": found["id"], "keep": ["face:0"]}):
            assert stranger.post("/api/jobs", json={**own, **borrowed}).status_code == 404
    with server.client(cookies={client.cookie: client.token[:-1] + "0"}) as forger:
        assert all(forger.get(path).status_code == 404 for path in paths)
    assert client.get(paths[0]).status_code == 200


def test_cookie_and_folders_are_private(server, media: Path) -> None:
    with server.client() as client:
        answer = client.get("/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        photo = client.send_file(media / "astronaut.jpg")
        place = server.service.store.known(client.token).find(photo["id"]).folder
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
    assert client.post("/api/media", content=tiny_photo(), headers=own).status_code == 201


def test_password_is_asked_for_everything(guarded) -> None:
    with guarded.client() as client:
        for path in ("/", "/page/app.js", "/api/about", "/api/openapi.json"):
            assert client.get(path).status_code == 401
            assert client.get(path, auth=("anna", "wrong horse")).status_code == 401
        assert not client.cookies
        malformed = base64.b64encode(b"\xff\xfe").decode()
        assert client.get("/", headers={"authorization": f"Basic {malformed}"}).status_code == 401
        assert client.get("/", auth=("anna", "correct horse")).status_code == 200
        assert client.get("/").status_code == 200, "a session that was let in stays in"
