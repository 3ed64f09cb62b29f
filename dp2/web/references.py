"""People who stay because they are shown on pictures that were dropped in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dp2.errors import UsageError

if TYPE_CHECKING:
    from dp2.anonymizer import Anonymizer
    from dp2.stages import Chooser


def by_references(pictures: Sequence[Path], anonymizer: Anonymizer, *, only: bool) -> Chooser | None:
    """Who stays.

    Args:
        pictures: of people; empty = nobody is known.
        anonymizer: whose own chooser decides where there are none.
        only: change those people, and nobody else.
    """
    if not pictures:
        return anonymizer.chooser
    raise UsageError(f"reference faces cannot be used: {remedy()}")


def remedy() -> str | None:
    """What is needed before reference faces can be used, in one line; None = nothing."""
    return "an embedding network is needed."
