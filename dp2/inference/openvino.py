"""OpenVINO, imported and begun once. Nothing about its use is ever reported to anyone."""

from __future__ import annotations

import importlib
import sys
import threading
from functools import cache
from typing import Any

from dp2.errors import EngineError, one_line

_TELEMETRY = "openvino_telemetry"
_ABSENT = object()
_importing = threading.Lock()
_beginning = threading.Lock()


def import_openvino() -> Any:
    """The `openvino` module, without its telemetry.

    `import openvino` reports itself to Google Analytics and leaves files in the home folder, unless the user has
    opted out or the package `openvino_telemetry` cannot be imported; then it falls back to a stand-in that does
    nothing. None in `sys.modules` makes an import fail; the entry is put back afterwards.

    Raises:
        EngineError: OpenVINO is not installed or cannot be loaded.
    """
    with _importing:
        if "openvino" in sys.modules:
            return sys.modules["openvino"]
        before = sys.modules.get(_TELEMETRY, _ABSENT)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
        try:
            return importlib.import_module("openvino")
        except ImportError as error:
            raise EngineError(f"OpenVINO cannot be imported ({error}): pip install openvino") from error
        finally:
            if before is _ABSENT:
                del sys.modules[_TELEMETRY]
            else:
                sys.modules[_TELEMETRY] = before  # type: ignore[assignment]


def openvino_core() -> Any:
    """The one `openvino.Core` of this process, which is never taken down.

    On processors with AMX each core gives its thread a stack for signal handlers and frees it when it goes. Of two
    cores the second puts back the stack of the first, even if that has been freed: the next signal, be it Ctrl-C or the
    end of a child, would then be a segmentation fault (seen with OpenVINO 2026.4).

    Raises:
        EngineError: as `import_openvino`, or it cannot begin.
    """
    with _beginning:  # a cache alone lets two threads begin two
        return _core()


@cache
def _core() -> Any:
    try:
        return import_openvino().Core()
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot begin: {one_line(error)}") from error
