"""A server with small limits on a port of its own, and clients that are strangers to each other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from dp2.web.app import Door, build_app
from dp2.web.auth import Credentials
from dp2.web.guard import COOKIE
from dp2.web.limits import Limits
from dp2.web.server import server_config
from dp2.web.service import Service
from dp2.web.socket import listen

PATIENCE = 120  # seconds, for a machine that does other things too


@dataclass
class Server:
    """A server in a thread."""

    service: Service
    door: Door = field(default_factory=Door)

    def start(self) -> None:
        self.socket = listen("127.0.0.1", 0)
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.url = f"http://{self.host}"
        config = server_config(build_app(self.service, self.door), log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server ended at once"
            time.sleep(0.02)

    def _run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self.socket])

        asyncio.run(serve())

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=30)
        self.socket.close()

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def client(self, **settings: Any) -> Client:
        return Client(base_url=self.url, timeout=PATIENCE, **settings)


class Client(httpx.Client):
    """One session of the API."""

    @property
    def cookie(self) -> str:
        """Its name."""
        return f"{COOKIE}_{self.base_url.port}"

    @property
    def token(self) -> str:
        """Of the session."""
        return self.cookies[self.cookie]

    def send_file(self, path: Path, name: str | None = None) -> dict[str, Any]:
        answer = self.post("/api/media", params={"name": name or path.name}, content=path.read_bytes())
        assert answer.status_code == 201, answer.text
        return answer.json()

    def send_file_content(self, content: bytes) -> dict[str, Any]:
        answer = self.post("/api/media", content=content)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def begin(self, media: dict[str, Any], **wanted: Any) -> dict[str, Any]:
        answer = self.post("/api/jobs", json={"media": media["id"], "anonymizer": "face_blur", **wanted})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        return self.get(f"/api/jobs/{job['id']}").json()

    def finish(self, job: dict[str, Any]) -> dict[str, Any]:
        return self.until(job, lambda now: now["state"] not in ("queued", "running"))

    def until(self, job: dict[str, Any], reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while not reached(now := self.job(job)):
            assert time.monotonic() < deadline, now
            time.sleep(0.02)
        return now


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = Limits(
        upload_bytes=2_000_000, session_bytes=8_000_000, pixels=2_000_000, video_seconds=6, session_media=60
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("web")))
        running = Server(Service(limits))
    running.start()
    yield running
    running.stop()
    assert not running.service.store._root.exists(), "a server that ends leaves nothing"


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a password, and nobody who would work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("guarded")))
        running = Server(Service(devices=()), Door(credentials=Credentials("anna", "correct horse")))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as made:
        yield made
        for held in made.get("/api/media").json():
            made.delete(f"/api/media/{held['id']}")
