"""`--quality`: a number for the encoder of photos, or how thoroughly people are searched for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dp2.config.walk import nodes
from dp2.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

FAST, ACCURATE = "fast", "accurate"

# Keys of detectors that trade time for what is found, as factors; the first that a detector has is changed. Passes at
# half the size take a fifth of the time, one at twice the size finds faces of half the size.
_TRADES = (
    ("scales", {FAST: 0.5, ACCURATE: 2.0}),
    ("min_size", {FAST: 2.0, ACCURATE: 0.5}),
    ("input_size", {FAST: 0.65, ACCURATE: 1.5}),
    ("scale", {FAST: 0.5, ACCURATE: 2.0}),
)
_AUTO = [1.0, 0.5, 0.25]  # passes, where the detector chooses them by the frame's size


class Quality(click.ParamType):  # type: ignore[type-arg]  # generic only for the type checker
    """1-100, or fast or accurate."""

    name = "1-100|fast|accurate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value in (FAST, ACCURATE):
            return str(value)
        try:
            number = int(value)
        except ValueError:
            number = 0
        if not 1 <= number <= 100:
            self.fail(f"{value!r} is neither a number from 1 to 100 nor fast nor accurate.", param, ctx)
        return number


def search_with(tree: DictConfig, quality: str) -> None:
    """Let the detector search faster or more thoroughly.

    Raises:
        UsageError: this detector knows no such trade.
    """
    detector = tree.get("detector")
    parts = list(nodes(detector if detector is not None else tree))
    for key, values in _TRADES:
        found = [node for node in parts if key in node and _tradeable(node[key])]
        if found:
            for node in found:
                node[key] = _traded(key, node[key], values[quality])
            return
    raise UsageError(f"--quality {quality}: this anonymizer's detector searches in one way only.")


def _tradeable(value: Any) -> bool:
    return value == "auto" or not isinstance(value, (str, bool, type(None)))


def _traded(key: str, value: Any, factor: float) -> Any:
    if key == "scales":
        passes = _AUTO if value == "auto" else [float(scale) for scale in value]
        return [factor * max(passes), *(passes if factor > 1 else [])]
    if key == "scale":
        return factor if value == "auto" else factor * value
    whole = round(value * factor)
    return max(whole, 12) if key == "min_size" else max(32, round(whole / 32) * 32)
