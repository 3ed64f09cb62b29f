"""Keeps away from the user what libraries say on stderr by themselves: one mechanism for a whole run.

C libraries (libtiff, libjpeg, OpenVINO, …) write to file descriptor 2 past Python; Python libraries warn and log. All
of it goes to the logger `dp2.libraries` at level DEBUG, and shows where `DP2_DEBUG` is set.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import IO, TextIO

from dp2.failures import wants_tracebacks

_log = logging.getLogger("dp2.libraries")
_STDERR = 2
_LONGEST_LINE = 2000
_CHUNK = 1 << 16


def is_ours(record: logging.LogRecord) -> bool:
    """A filter of logging handlers: what dp2 says, and while debugging everything."""
    return wants_tracebacks() or (record.name.partition(".")[0] == "dp2" and record.name != _log.name)


@contextlib.contextmanager
def captured_library_lines() -> Iterator[None]:
    """While it lasts, `sys.stderr` reaches the terminal as before, and file descriptor 2 the log.

    Lines that come faster than they are read are dropped rather than waited for: a library that holds Python's lock
    while it writes could otherwise wait for ever. Processes started meanwhile inherit the captured descriptor.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.showwarning = _log_warning  # type: ignore[assignment]
        with contextlib.suppress(OSError):  # there is no stderr, as in a windowed program
            stack.enter_context(_descriptor_captured())
        yield


@contextlib.contextmanager
def _descriptor_captured() -> Iterator[None]:
    terminal = os.dup(_STDERR)
    reading, writing = os.pipe()
    if hasattr(os, "set_blocking"):  # Windows has it since Python 3.12 only
        os.set_blocking(writing, False)
    end = os.urandom(16)
    reader = threading.Thread(target=_forward, args=(reading, end), name="library lines", daemon=True)
    before = sys.stderr
    own = _on_descriptor(before, terminal)
    reader.start()
    os.dup2(writing, _STDERR)
    if own is not None:
        sys.stderr = own
    try:
        yield
    finally:
        if own is not None:
            own.flush()
            if sys.stderr is own:
                sys.stderr = before
        os.dup2(terminal, _STDERR)
        if hasattr(os, "set_blocking"):
            os.set_blocking(writing, True)
        os.write(writing, end)  # children may hold the pipe open: its end would never come
        os.close(writing)
        reader.join()
        os.close(reading)
        if own is not None:
            own.close()
        os.close(terminal)


def _on_descriptor(stream: TextIO, terminal: int) -> TextIO | None:
    """A text stream on `terminal` in the place of one on stderr; None if that leads elsewhere, as in tests."""
    try:
        if stream.fileno() != _STDERR:
            return None
        stream.flush()
    except (OSError, ValueError, AttributeError):
        return None
    made: IO[str] = open(  # noqa: SIM115, closed by the caller
        terminal, "w", buffering=1, encoding=stream.encoding, errors="backslashreplace", closefd=False
    )
    return made  # type: ignore[return-value]


def _forward(reading: int, end: bytes) -> None:
    """Log the lines that come through a pipe until `end` does."""
    rest = b""
    while end not in rest:
        chunk = os.read(reading, _CHUNK)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _say(line)
        if len(rest) > _LONGEST_LINE + len(end):
            _say(rest)
            rest = rest[-len(end) :]
    _say(rest.partition(end)[0])


def _say(line: bytes) -> None:
    text = line[:_LONGEST_LINE].decode("utf-8", "replace").strip()
    if text:
        _log.debug("%s", text)


def _log_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    _log.debug("%s:%d: %s: %s", filename, lineno, category.__name__, message)
