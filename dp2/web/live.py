"""The camera: pictures come over a WebSocket and go back anonymized."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from dp2.errors import Dp2Error
from dp2.web.jobs import Job, State
from dp2.web.service import Service, check_anonymizer
from dp2.web.store import Session
from dp2.web.workers.process import Event, Worker

router = APIRouter()
_PIXELS = 1920 * 1080
_ON_THE_WAY = 2  # pictures of one camera: what comes faster waits with whoever sends it, not in our memory
_SILENCE = 30.0  # seconds without a picture, while others wait for the worker


@router.websocket("/api/live")
async def live(socket: WebSocket, anonymizer: str = "") -> None:
    """JPEG in, JPEG out, one for each in order; words about the state come as JSON text.

    A camera is a job like others: it waits for its turn and ends after `live_seconds`. Query: `anonymizer`, and
    `references`, ids of uploads, separated by commas.
    """
    await socket.accept()
    service: Service = socket.app.state.service
    try:
        job = _job(service, socket, anonymizer or service.default)
        await service.queue.submit(job)
    except Dp2Error as error:
        await _say(socket, state="failed", error=str(error))
        await socket.close()
        return
    try:
        await _Camera(socket, job).run(service)
    finally:
        await service.queue.delete(job)


class _Camera:
    """One connection."""

    def __init__(self, socket: WebSocket, job: Job) -> None:
        self._socket = socket
        self._job = job
        self._worker: Worker | None = None
        self._answers: asyncio.Queue[Event] = asyncio.Queue()
        self._room = asyncio.Semaphore(_ON_THE_WAY)
        job.on_start = self._started
        job.on_event = self._answers.put_nowait

    async def run(self, service: Service) -> None:
        """Until the browser hangs up or the job ends."""
        place = service.queue.place(self._job)
        await _say(self._socket, state="queued", place=place)
        tasks = [asyncio.create_task(step) for step in (self._receive(), self._send(), self._end())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _started(self, worker: Worker) -> None:
        self._worker = worker

    async def _receive(self) -> None:
        try:
            while True:
                picture = await self._next()
                if picture is None:
                    await _say(self._socket, state="ended", error="no picture came any more; start it again.")
                    await self._socket.close()
                    return
                if self._worker is None:
                    continue  # nobody has asked for it yet
                await self._room.acquire()
                if self._job.over:
                    return  # the worker is another's by now: what it is given, it would show to him
                await self._worker.feed(base64.b64encode(picture).decode())
        except (WebSocketDisconnect, KeyError, RuntimeError):  # hung up, or sent text
            return

    async def _next(self) -> bytes | None:
        """The next picture; None if the camera has its turn and sends none."""
        while True:
            had_turn = self._worker is not None
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self._socket.receive_bytes(), _SILENCE)
            if had_turn:
                return None

    async def _send(self) -> None:
        while True:
            event = await self._answers.get()
            if event["event"] == "ready":
                await _say(self._socket, state="running")
            elif event["event"] == "frame":
                await _say(self._socket, state="running", people=event["people"])
                await self._socket.send_bytes(base64.b64decode(event["data"]))
                self._room.release()

    async def _end(self) -> None:
        await self._job.ended.wait()
        error = self._job.error if self._job.state is State.FAILED else None
        await _say(self._socket, state="ended", error=error)
        await self._socket.close()


def _job(service: Service, socket: WebSocket, anonymizer: str) -> Job:
    check_anonymizer(anonymizer)
    session: Session = service.store.session(str(socket.state.token))
    named = [word for word in socket.query_params.get("references", "").split(",") if word]
    shown = [session.find(identity) for identity in named]
    arguments: dict[str, Any] = {
        "anonymizer": anonymizer,
        "pixels": _PIXELS,
        "references": [[str(media.source), media.name] for media in shown],
        "only": False,
        "keep": [],
    }
    return Job(session, "live", arguments, service.limits.live_seconds)


async def _say(socket: WebSocket, **words: Any) -> None:
    await socket.send_text(json.dumps(words))
