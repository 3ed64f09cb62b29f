"""Jobs in a queue: first come, first served, one at a time for each worker."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from dp2.errors import Dp2Error, JobCancelled
from dp2.web.limits import Limits
from dp2.web.store import Media, NotFound, Session, TooMuch
from dp2.web.workers.process import Event, Worker

_log = logging.getLogger(__name__)


class State(StrEnum):
    """Of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(eq=False)
class Job:
    """Something that a worker does for a session.

    Attributes:
        id: unguessable.
        session: whose it is.
        task: of `dp2.web.workers.tasks`.
        arguments: of the task.
        media: what it works on; None for a camera.
        folder: its own, for results.
        target: the anonymized file, if the task makes one.
        filename: under which the result is downloaded.
        seconds: it may run.
        state, done, total, error, result: how far it is; `done` of `total` frames.
        on_event: is told what the worker says while it runs.
        on_start: is told which worker took it.
        cancelled: set to end it.
        ended: set when it has.
    """

    session: Session
    task: str
    arguments: dict[str, Any]
    seconds: float
    media: Media | None = None
    folder: Path | None = None
    target: Path | None = None
    filename: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = State.QUEUED
    done: int = 0
    total: int | None = None
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    began: float | None = None
    took: float | None = None
    on_event: Callable[[Event], None] | None = None
    on_start: Callable[[Worker], None] | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.ended.is_set()

    def hear(self, event: Event) -> None:
        """What the worker says while it works."""
        if event["event"] == "progress":
            self.done, self.total = int(event["done"]), event["total"]
        if self.on_event is not None:
            self.on_event(event)

    def end(self, state: State, error: str | None = None) -> None:
        """It is over; what a failed job left is deleted."""
        self.state, self.error = state, error
        self.session.used = time.monotonic()  # a result is kept for as long as an upload, however long it took
        self.took = None if self.began is None else round(time.monotonic() - self.began, 3)
        if state is not State.DONE and self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.ended.set()


class JobQueue:
    """All jobs of all sessions.

    Args:
        limits: how many may wait.
        room: bytes that a session may still fill.
    """

    def __init__(self, limits: Limits, room: Callable[[Session], int]) -> None:
        self._limits = limits
        self._room = room
        self._jobs: dict[str, Job] = {}
        self._waiting: list[Job] = []
        self._more = asyncio.Condition()

    async def submit(self, job: Job) -> None:
        """Put a job at the end of the queue.

        Raises:
            TooMuch: too many wait already.
        """
        if len(self.of(job.session)) >= self._limits.session_jobs:
            raise TooMuch(f"a session may hold {self._limits.session_jobs} jobs; delete some.")
        if len(self._waiting) >= self._limits.waiting:
            raise TooMuch("too many jobs are waiting; try again when some are done.")
        self._jobs[job.id] = job
        async with self._more:
            self._waiting.append(job)
            self._more.notify()

    def of(self, session: Session | None) -> list[Job]:
        """The jobs of a session, oldest first."""
        return [job for job in self._jobs.values() if session is not None and job.session is session]

    def find(self, session: Session | None, identity: str) -> Job:
        """A job of a session.

        Raises:
            NotFound: it has none of that id; other sessions' jobs do not count.
        """
        job = self._jobs.get(identity)
        if job is None or session is None or job.session is not session:
            raise NotFound("there is no such job; it may have been deleted.")
        return job

    def place(self, job: Job) -> int:
        """How many jobs are before it in the queue; 0 for one that does not wait."""
        return self._waiting.index(job) + 1 if job in self._waiting else 0

    async def cancel(self, job: Job) -> None:
        """End a job and wait until it has."""
        job.cancelled.set()
        if job in self._waiting:
            self._waiting.remove(job)
            job.end(State.CANCELLED)
        await job.ended.wait()

    async def delete(self, job: Job) -> None:
        """End a job and delete what it made."""
        await self.cancel(job)
        self._jobs.pop(job.id, None)
        if job.folder is not None:
            shutil.rmtree(job.folder, ignore_errors=True)

    async def serve(self, worker: Worker) -> None:
        """Give a worker one job after the other, for ever."""
        while True:
            async with self._more:
                await self._more.wait_for(lambda: bool(self._waiting))
                job = self._waiting.pop(0)
            if job.folder is not None and self._room(job.session) <= 0:  # filled by the jobs before it
                job.end(State.FAILED, "this session holds as much as it may; delete something first.")
            else:
                await _work(worker, job)


async def _work(worker: Worker, job: Job) -> None:
    """One job, whatever happens to it."""
    job.state, job.began = State.RUNNING, time.monotonic()
    try:
        if job.folder is not None:
            job.folder.mkdir(mode=0o700)
        if job.on_start is not None:
            job.on_start(worker)
        job.result = await worker.run(
            job.task, job.arguments, seconds=job.seconds, on_event=job.hear, cancelled=job.cancelled
        )
    except JobCancelled:
        job.end(State.CANCELLED)
    except Dp2Error as error:
        job.end(State.FAILED, str(error))
    except asyncio.CancelledError:
        job.end(State.CANCELLED)
        raise
    except Exception:  # one job must not end the queue
        _log.exception("job failed")
        job.end(State.FAILED, "the server itself failed; its log says more.")
    else:
        job.end(State.DONE)
