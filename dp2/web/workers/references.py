"""People who stay because they are shown on pictures that were dropped in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dp2.errors import MissingWeights

if TYPE_CHECKING:
    from dp2.anonymizer import Anonymizer
    from dp2.stages import Chooser


def by_references(pictures: Sequence[Path], anonymizer: Anonymizer, *, only: bool) -> Chooser | None:
    """Who stays.

    Args:
        pictures: of one person each; empty = nobody is known.
        anonymizer: whose own chooser decides where there are none.
        only: change those people, and nobody else who is clear enough to tell.

    Raises:
        MissingWeights: no network that compares faces is here.
        UsageError: a picture does not show one person clearly.
    """
    if not pictures:
        return anonymizer.chooser
    from dp2.config.choice import choosing
    from dp2.config.matchings import ready

    matching = ready()
    if matching is None:
        raise MissingWeights(remedy() or "")
    shown = {"only" if only else "keep": list(pictures)}
    return choosing(anonymizer, matching=matching, **shown).chooser


def remedy() -> str | None:
    """What is needed before reference faces can be used, in one line; None = nothing."""
    from dp2.config.matchings import MATCHINGS, needs, ready

    if ready() is not None:
        return None
    fetch = " or ".join(f"dp2 weights fetch {name}" for matching in MATCHINGS for name in needs(matching))
    return f"Known faces need a network that compares them, which is not on this machine: {fetch}"
