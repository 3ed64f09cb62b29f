"""Which of the networks that compare faces is used."""

from __future__ import annotations

MATCHINGS = ("sface", "mobilefacenet", "de_facer")
"""Configs in `configs/matching/`, that with the clearest licence first."""

AUTO = "auto"


def ready() -> str | None:
    """The first of `MATCHINGS` whose weights are on this machine."""
    from dp2.weights.store import Store

    store = Store()
    return next((name for name in MATCHINGS if all(store.locate(each) is not None for each in needs(name))), None)


def chosen(name: str) -> str:
    """What a name stands for: "auto" is `ready`; the first where none is, so that its weights are asked for."""
    return (ready() or MATCHINGS[0]) if name == AUTO else name


def needs(matching: str) -> tuple[str, ...]:
    """Names of the weights of a matching.

    Raises:
        ConfigError: there is no such matching.
    """
    from dp2.config import find_config, load_config
    from dp2.weights.needs import weights_in

    return weights_in(load_config(find_config(f"matching/{matching}")))
