"""Nested states as a table of tensors and a layout that JSON can hold. Nothing but data is written or read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dp2.errors import TrainingError, UnreadableCheckpoint


def flattened(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Split a state of dicts, lists, tuples, tensors, numbers and texts.

    Returns:
        the layout, in which each container or tensor is a dict of one key, its kind; and the tensors by their path.

    Raises:
        TrainingError: it holds something else; the place is named.
    """
    tensors: dict[str, Tensor] = {}
    return _layout(state, "", tensors), tensors


def restored(layout: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flattened`.

    Raises:
        UnreadableCheckpoint: layout and tensors do not belong together.
    """
    try:
        return _restored(layout, tensors)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise UnreadableCheckpoint(f"a checkpoint's layout and tensors do not belong together ({error}).") from error


def _restored(layout: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(layout, dict):
        return layout
    ((kind, value),) = layout.items()
    if kind == "dict":
        return {key: _restored(below, tensors) for key, below in value}
    if kind in ("list", "tuple"):
        below = [_restored(item, tensors) for item in value]
        return tuple(below) if kind == "tuple" else below
    if kind != "tensor":
        raise ValueError(f"there is no kind {kind}")
    return tensors[value]


def _layout(state: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(state, Tensor):
        tensors[place] = state
        return {"tensor": place}
    if isinstance(state, Mapping):
        return {"dict": [[key, _layout(value, _below(place, key), tensors)] for key, value in state.items()]}
    if isinstance(state, list | tuple):
        kind = "list" if isinstance(state, list) else "tuple"
        return {kind: [_layout(value, _below(place, number), tensors) for number, value in enumerate(state)]}
    if state is None or isinstance(state, bool | int | float | str):
        return state
    raise TrainingError(f"the state at {place} is a {type(state).__name__}, which a checkpoint does not hold.")


def _below(place: str, key: object) -> str:
    return f"{place}/{key}" if place else str(key)
