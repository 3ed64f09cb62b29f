"""ONNX Runtime, imported. Nothing about its use is ever reported to anyone."""

from __future__ import annotations

import os
from typing import Any

from dp2.errors import EngineError

_OPT_OUT = "ORT_DISABLE_TELEMETRY"


def import_onnxruntime() -> Any:
    """The `onnxruntime` module, without its telemetry.

    Since 1.3x its builds for Linux, too, hold a client of Microsoft's that is begun by the import: it gives this
    machine an id and keeps events for sending in the cache folder, before `disable_telemetry_events` can be called.
    The variable is what its import looks at (seen with 1.32).

    Raises:
        EngineError: ONNX Runtime is not installed or cannot be loaded.
    """
    os.environ[_OPT_OUT] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(f"ONNX Runtime cannot be imported ({error}): pip install onnxruntime") from error
    onnxruntime.disable_telemetry_events()  # of older builds, or if somebody else imported it before
    return onnxruntime
