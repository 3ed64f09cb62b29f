"""Ending a run between two steps: at a signal, or when its time is up."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any


class Stop:
    """Becomes true at SIGTERM, SIGINT or after some minutes. A second signal does what it does anywhere else.

    Args:
        minutes: None = no limit.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._until = None if minutes is None else time.monotonic() + 60 * minutes
        self._signal: int | None = None
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._earlier = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    @property
    def reason(self) -> str | None:
        """Why the run is to end; None = it goes on."""
        if self._signal is not None:
            return signal.Signals(self._signal).name
        if self._until is not None and time.monotonic() >= self._until:
            return "its time is up"
        return None

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}
