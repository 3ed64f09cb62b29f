"""A worker process as the server sees it: one task at a time, killed when it takes too long, replaced when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dp2.errors import JobCancelled, JobError, JobTimeout, WorkerDied

Event = Mapping[str, Any]

_LINE = 32 * 1024 * 1024  # bytes of one answer: a camera's picture, or many boxes
_GRACE = 3.0  # seconds in which a worker may stop by itself after a cancel
_log = logging.getLogger(__name__)


class Worker:
    """Runs `dp2.web.workers.child` and talks to it.

    Args:
        device: as `--device`; None = as the configs say.
        largest_file: that it may write, in bytes.
        memory: address space that it may use, in bytes; None = unlimited, which PyTorch and CUDA need.
        root: the server's folder, which it deletes if the server is killed.
    """

    def __init__(
        self,
        device: str | None = None,
        *,
        largest_file: int | None = None,
        memory: int | None = None,
        root: Path | None = None,
    ) -> None:
        settings = {"device": device, "largest_file": largest_file, "memory": memory}
        self._settings = json.dumps({**settings, "root": None if root is None else str(root)})
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._process is None else self._process.pid

    async def run(
        self,
        task: str,
        arguments: Mapping[str, Any],
        *,
        seconds: float,
        on_event: Callable[[Event], None] = lambda _: None,
        cancelled: asyncio.Event | None = None,
    ) -> dict[str, Any]:
        """Do a task of `dp2.web.workers.tasks`.

        Args:
            task: its name.
            arguments: JSON-able.
            seconds: it may take; then the process is killed.
            on_event: called with each event before the last.
            cancelled: set it to end the task.

        Returns:
            the task's result.

        Raises:
            JobError: the task failed; the message says why.
            JobCancelled, JobTimeout, WorkerDied: it did not come to an end.
        """
        async with self._lock:
            process = await self._ensure()
            try:
                async with asyncio.timeout(seconds):
                    return await self._converse(process, task, arguments, on_event, cancelled or asyncio.Event())
            except TimeoutError:
                await self._kill()
                raise JobTimeout(f"this took longer than the {seconds:.0f} s that a job may take.") from None
            except (JobError, asyncio.CancelledError):
                raise
            except BaseException:
                await self._kill()  # what it would still say must not be taken for the next task's answer
                raise

    async def feed(self, frame: str) -> None:
        """Give the running task the next picture of a camera, as base64; waits until the process takes it."""
        self._send({"frame": frame})
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()

    async def stop(self) -> None:
        """End the process."""
        await self._kill()

    async def _converse(
        self,
        process: asyncio.subprocess.Process,
        task: str,
        arguments: Mapping[str, Any],
        on_event: Callable[[Event], None],
        cancelled: asyncio.Event,
    ) -> dict[str, Any]:
        self._send({"task": task, "arguments": dict(arguments)})
        watch = asyncio.create_task(self._stop_when(cancelled))
        try:
            while True:
                event = await self._answer(process)
                if event["event"] == "done":
                    return dict(event["result"])
                if event["event"] == "failed":
                    raise JobError(str(event["error"]))
                if event["event"] == "cancelled":
                    raise JobCancelled("cancelled.")
                on_event(event)
        except WorkerDied:
            if cancelled.is_set():
                raise JobCancelled("cancelled.") from None
            raise
        except asyncio.CancelledError:
            await self._kill()
            raise
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _stop_when(self, cancelled: asyncio.Event) -> None:
        await cancelled.wait()
        self._send({"cancel": True})
        await asyncio.sleep(_GRACE)
        await self._kill()

    async def _answer(self, process: asyncio.subprocess.Process) -> Event:
        if process.stdout is None:
            raise WorkerDied("the worker has no output.")
        try:
            line = await process.stdout.readline()
            event = json.loads(line) if line else None
        except ValueError:
            event = None  # not what our own program says: it is not trusted any further
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            return event
        await self._kill()
        raise WorkerDied(f"the worker process ended unexpectedly ({_cause(process.returncode)}); try again.")

    async def _ensure(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dp2.web.workers.child",
                self._settings,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE,
                start_new_session=True,  # so that a kill reaches whatever it started
                env={**os.environ, "DP2_OFFLINE": os.environ.get("DP2_OFFLINE", "1")},
            )
            _log.info("worker %d started", self._process.pid)
        return self._process

    def _send(self, message: Mapping[str, Any]) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        await process.wait()


def _cause(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "killed, perhaps for want of memory"
    return "it said nothing sensible" if code in (None, 0) else f"code {code}"
