"""What is said of an error that nobody foresaw: one short line, whatever its class, and the traceback only on request.

`DP2_DEBUG=1` in the environment, or logging at level DEBUG, shows tracebacks.
"""

from __future__ import annotations

import logging
import os

from dp2.errors import Dp2Error

_log = logging.getLogger(__name__)
_LONGEST = 300  # characters of a foreign error's own text


def said(error: BaseException) -> str:
    """The class and text of an error in one line; never raises, even where the error's own text does."""
    try:
        text = " ".join(str(error).split())[:_LONGEST]
    except Exception:  # a plugin's class may do anything when it is asked for its text
        text = "its text cannot be read"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def failure_of(error: BaseException, name: str) -> str:
    """The line for an input that failed.

    Args:
        error: what ended the work on it.
        name: of the input; errors of dp2 name it themselves.
    """
    _log.debug("%s", name, exc_info=error)
    if isinstance(error, Dp2Error):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"{name}: not enough memory; try --max-res. Nothing was written."
    return f"{name}: failed ({said(error)}). Nothing was written; DP2_DEBUG=1 shows where."


def unforeseen(error: BaseException, name: str) -> Dp2Error:
    """An error of a foreign class as one of dp2's, for who collects those."""
    raised = Dp2Error(failure_of(error, name))
    raised.__cause__ = error
    return raised


def wants_tracebacks() -> bool:
    """Whether the environment asks for them."""
    return os.environ.get("DP2_DEBUG", "") not in ("", "0")
