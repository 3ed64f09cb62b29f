"""dp2 finds every person in photos and video and makes them unrecognisable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Anonymizer", "Detections", "__version__", "load_anonymizer"]

if TYPE_CHECKING:
    from dp2.anonymizer import Anonymizer, load_anonymizer
    from dp2.types import Detections

_LAZY = {"Anonymizer": "dp2.anonymizer", "load_anonymizer": "dp2.anonymizer", "Detections": "dp2.types"}


def __getattr__(name: str) -> Any:
    # A light `import dp2`: numpy, torch and the stages come with the first name that needs them.
    if name not in _LAZY:
        raise AttributeError(f"module 'dp2' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
