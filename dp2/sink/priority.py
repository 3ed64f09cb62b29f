"""Encoders must not take the machine for themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


@contextmanager
def scheduled_as_before() -> Iterator[None]:
    """Leave the caller's thread, and give those begun inside, the priority that it has now.

    SVT-AV1, when run by root (in a container, say), raises its threads and the one that opens it to the highest
    real-time priority: whatever else shares their cores, other threads of this process too, then stands still (seen
    with FFmpeg 8's).
    """
    if sys.platform != "linux" or not _TASKS.is_dir():
        yield
        return
    policy, parameter, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        for thread in {0} | (_threads() - before):
            with suppress(ProcessLookupError, PermissionError):  # it has ended, or may not be changed
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameter)


def _threads() -> set[int]:
    return {int(path.name) for path in _TASKS.iterdir()}
