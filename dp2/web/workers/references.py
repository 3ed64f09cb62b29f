"""People who stay because they are shown on pictures that were dropped in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dp2.errors import MissingWeights

if TYPE_CHECKING:
    from dp2.anonymizer import Anonymizer
    from dp2.stages import Chooser

_MATCHINGS = ("mobilefacenet", "de_facer")  # configs/matching/; the first whose weights are here is used


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

    matching = _ready()
    if matching is None:
        raise MissingWeights(remedy() or "")
    shown = {"only" if only else "keep": list(pictures)}
    return choosing(anonymizer, matching=matching, **shown).chooser


def remedy() -> str | None:
    """What is needed before reference faces can be used, in one line; None = nothing."""
    if _ready() is not None:
        return None
    fetch = " or ".join(f"dp2 weights fetch {name}" for config in _MATCHINGS for name in _needs(config))
    return f"Known faces need a network that compares them, which is not on this machine: {fetch}"


def _ready() -> str | None:
    from dp2.weights.store import Store

    store = Store()
    return next((name for name in _MATCHINGS if all(store.locate(w) is not None for w in _needs(name))), None)


def _needs(matching: str) -> tuple[str, ...]:
    from dp2.config import find_config, load_config
    from dp2.weights.needs import weights_in

    return weights_in(load_config(find_config(f"matching/{matching}")))
