"""Jobs in order, dead workers, time limits, and what is deleted."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from dp2.web.limits import Limits
from dp2.web.store import Store


def tiny_photo() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_fifty_parallel_jobs_are_done_in_order(client, server) -> None:
    photo = client.post("/api/media", content=tiny_photo()).json()

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


def test_queue_is_not_endless(client, server) -> None:
    photo = client.post("/api/media", content=tiny_photo()).json()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.service.queue, "_limits", replace(server.service.limits, session_jobs=2))
        client.begin(photo)
        client.begin(photo)
        third = client.post("/api/jobs", json={"media": photo["id"], "anonymizer": "face_blur"})
        assert third.status_code == 429


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
    own = server.service.store.known(client.token).find(clip["id"]).folder
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
        done = idle.finish(idle.begin(idle.get("/api/media").json()[0]))
        assert idle.get(f"/api/jobs/{done['id']}/result").status_code == 200
        sessions = [server.service.store.known(client.token) for client in (idle, busy)]
        sessions[0].used -= server.service.limits.keep_seconds + 1
        server.call(server.service.sweep())
        assert not sessions[0].folder.exists()
        assert idle.get("/api/media").json() == []
        assert idle.get(f"/api/jobs/{done['id']}/result").status_code == 404
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
