"""What runs behind the page: the store, the queue, and the workers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from dp2.errors import Dp2Error, UsageError
from dp2.web.jobs import JobQueue
from dp2.web.limits import Limits
from dp2.web.store import Media, Session, Store
from dp2.web.workers.process import Worker

_INSPECTOR_MEMORY = 8 * 1024**3  # address space: a picture that asks for more is refused, not the machine frozen
_SWEEP = 30.0  # seconds between two looks for what is to be deleted
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Service:
    """One server's inner life.

    Attributes:
        limits: what it takes on.
        devices: one worker each; None = as the configs say.
        default: the anonymizer that the page offers first, and that is built at the start.
    """

    limits: Limits = field(default_factory=Limits)
    devices: tuple[str | None, ...] = (None,)
    default: str = "face_blur"

    def __post_init__(self) -> None:
        self.store = Store(self.limits)
        self.queue = JobQueue(self.limits, self.store.room)
        confined: dict[str, Any] = {"largest_file": self.limits.session_bytes, "root": self.store.root}
        self.workers = [Worker(device, **confined) for device in self.devices]
        self.inspector = Worker(memory=_INSPECTOR_MEMORY, **confined)
        self._tasks: list[asyncio.Task[None]] = []
        self._listed: asyncio.Future[dict[str, Any]] | None = None

    async def start(self) -> None:
        """Begin to work."""
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self.workers]
        self._tasks.append(asyncio.create_task(self._sweep_for_ever()))

    async def stop(self) -> None:
        """End everything and delete everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in (*self.workers, self.inspector):
            await worker.stop()
        self.store.close()

    async def anonymizers(self) -> list[dict[str, Any]]:
        """Name, a line about it, and whether its weights are here."""
        return list((await self._list())["anonymizers"])

    async def references_remedy(self) -> str | None:
        """What is needed before reference faces can be used; None = nothing."""
        remedy = (await self._list())["remedy"]
        return None if remedy is None else str(remedy)

    async def delete_media(self, session: Session, media: Media) -> None:
        """Delete an upload with its jobs."""
        session.media.pop(media.id, None)  # at once, so that no job is put on it meanwhile
        for job in self.queue.of(session):
            if job.media is media:
                await self.queue.delete(job)
        self.store.delete_media(session, media)

    async def _list(self) -> dict[str, Any]:
        """Configs are code that may import torch, so they are read in a worker; once."""
        if self._listed is None or (self._listed.done() and self._listed.exception() is not None):
            self._listed = asyncio.ensure_future(
                self.inspector.run("catalogue", {}, seconds=self.limits.inspect_seconds)
            )
        return await asyncio.shield(self._listed)

    async def _serve(self, worker: Worker) -> None:
        try:
            await worker.run("build", {"anonymizer": self.default}, seconds=self.limits.job_seconds)
        except Dp2Error as error:
            _log.warning("%s cannot be built: %s", self.default, error)
        await self.queue.serve(worker)

    async def sweep(self) -> None:
        """Delete what nobody came back for."""
        for session in self.store.idle():
            jobs = self.queue.of(session)
            if all(job.over for job in jobs):
                for job in jobs:
                    await self.queue.delete(job)
                self.store.drop(session)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP, self.limits.keep_seconds / 2))
            await self.sweep()


def check_anonymizer(name: str) -> None:
    """Raise `UsageError` for what is no name of an anonymizer that comes with dp2: paths are none."""
    from dp2.config import config_names

    if name not in config_names():
        raise UsageError(f"there is no anonymizer called {name!r}; see `dp2 configs`.")
