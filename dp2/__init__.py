"""dp2 finds every person in photos and video and makes them unrecognisable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Anonymizer",
    "Detections",
    "Dp2Error",
    "FileReport",
    "Frame",
    "Options",
    "Result",
    "Summary",
    "__version__",
    "anonymize_image",
    "anonymize_video",
    "load_anonymizer",
]

if TYPE_CHECKING:
    from dp2.anonymizer import Anonymizer, load_anonymizer
    from dp2.batch.files import FileReport, Options, anonymize_image, anonymize_video
    from dp2.errors import Dp2Error
    from dp2.result import Result, Summary
    from dp2.types import Detections, Frame

_LAZY = {
    "Anonymizer": "dp2.anonymizer",
    "Detections": "dp2.types",
    "Dp2Error": "dp2.errors",
    "FileReport": "dp2.batch.files",
    "Frame": "dp2.types",
    "Options": "dp2.batch.files",
    "Result": "dp2.result",
    "Summary": "dp2.result",
    "anonymize_image": "dp2.batch.files",
    "anonymize_video": "dp2.batch.files",
    "load_anonymizer": "dp2.anonymizer",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # A light `import dp2`: numpy, torch and the stages come with the first name that needs them.
    if name not in _LAZY:
        raise AttributeError(f"module 'dp2' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
