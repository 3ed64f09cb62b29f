"""A real HTTP server that misbehaves on request, and a store that fetches from it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dp2.weights.registry import Entry
from dp2.weights.settings import Settings
from dp2.weights.store import Store

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers by path; `requests` records (path, Range header) in order."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("Range")))
                outer.answers.get(self.path, status(404))(self)

            def log_message(self, *_: object) -> None:
                """Requests are recorded, not printed."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @staticmethod
    def status(code: int, **headers: str) -> Answer:
        return status(code, **headers)

    @staticmethod
    def serve(data: bytes, *, ranges: bool = True, cuts: list[int] | None = None, wait: float = 0) -> Answer:
        """The file, by ranges. Each of `cuts` breaks one answer off after so many bytes; `wait` delays the body."""
        return serve(data, ranges, list(cuts or []), wait)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}{path}"

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def serve(data: bytes, ranges: bool, cuts: list[int], wait: float) -> Answer:
    tag = f'"{hashlib.sha256(data).hexdigest()[:12]}"'

    def answer(handler: BaseHTTPRequestHandler) -> None:
        start, asked = 0, handler.headers.get("Range")
        if ranges and asked and handler.headers.get("If-Range") in (None, tag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(data) > 0:
            status(416, Content_Range=f"bytes */{len(data)}")(handler)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.send_header("ETag", tag)
        handler.end_headers()
        threading.Event().wait(wait)
        handler.wfile.write(data[start : start + cuts.pop(0)] if cuts else data[start:])

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def content() -> bytes:
    """300 kB that compress badly and have no period."""
    return b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(9_400))


@pytest.fixture
def make_entry() -> Callable[..., Entry]:
    def make(data: bytes, *urls: str, checksum: bool = True) -> Entry:
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest() if checksum else None
        return Entry("test/net", "test_net.ckpt", "a test network", "CC0", urls=urls, md5=digest, size=len(data))

    return make


@pytest.fixture
def make_store() -> Callable[..., Store]:
    def make(home: Path, entry: Entry, *, timeout: float = 5.0, **settings: Any) -> Store:
        chosen = Settings(home=home, timeout=timeout, **settings)
        return Store(chosen, lookup=lambda _: entry, alternatives=lambda _: ("face_blur",))

    return make
