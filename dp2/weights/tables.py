"""Where in a checkpoint a network's weights lie, be they tensors or arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dp2.errors import CheckpointMismatch

T = TypeVar("T")

_GENERATORS = ("EMA_generator", "running_average_generator")
_NETWORKS = ("model", "state_dict", "net_state_dict")
_SHOWN = 10


def generator_table(
    checkpoint: Mapping[str, Any], kind: type[T], source: str = "the checkpoint"
) -> tuple[dict[str, T], T | None]:
    """The averaged generator of a checkpoint and, where it has them, the centres of multi-modal truncation.

    The weights lie under `EMA_generator`, else `running_average_generator` (in DeepPrivacy1's files possibly once more
    under `parameters`), else at top level, as `dp2 weights import` writes them. The centres lie beside them as
    `w_centers`, or among them as `style_net.w_centers`.

    Args:
        kind: of the weights: torch's tensors or numpy's arrays.
        source: the file, for errors.

    Returns:
        key → weights, without the centres; and the centres (M, w_channels) or None.

    Raises:
        CheckpointMismatch: it holds no generator.
    """
    inner = _unnest(checkpoint)
    chosen = next((table[name] for table in (checkpoint, inner) for name in _GENERATORS if name in table), inner)
    state = _only(_unnest(chosen), kind, source)
    inside = [state.pop(key, None) for key in ("style_net.w_centers", "w_centers")]
    beside = checkpoint.get("w_centers")
    centers: Any = next((found for found in (beside, *inside) if isinstance(found, kind)), None)
    if centers is not None and centers.ndim != 2:
        raise CheckpointMismatch(f"{source}: w_centers has the shape {tuple(centers.shape)}; expected (M, w_channels).")
    return state, centers


def network_table(checkpoint: Mapping[str, Any], kind: type[T], source: str = "the checkpoint") -> dict[str, T]:
    """The weights of a detector, pose network or embedding: under `model`, `state_dict`, … or at top level.

    Raises:
        CheckpointMismatch: it holds no weights there.
    """
    for name in _NETWORKS:
        if isinstance(checkpoint.get(name), Mapping):
            return _only(checkpoint[name], kind, source)
    return _only(checkpoint, kind, source)


class CheckpointArrays:
    """Arrays of a checkpoint, each of which has to find its place in a network.

    Args:
        arrays: name → array.
        source: the file, for errors.
        network: its name, for errors.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], source: str, network: str) -> None:
        self._arrays = dict(arrays)
        self._misfit = f"{source}: does not fit {network}"

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """An array that no other place takes.

        Raises:
            CheckpointMismatch: it is missing, has another shape, or holds no fractions.
        """
        array = self._arrays.pop(name, None)
        if array is None:
            raise CheckpointMismatch(f"{self._misfit}: {name} is missing.")
        if array.shape != shape:
            raise CheckpointMismatch(f"{self._misfit}: {name} has the shape {array.shape}, not {shape}.")
        if shape and array.dtype.kind != "f":
            raise CheckpointMismatch(f"{self._misfit}: {name} has the type {array.dtype}, not one of fractions.")
        return array.astype(np.float64)

    def check_taken(self) -> None:
        """Raise `CheckpointMismatch` where an array found no place."""
        if self._arrays:
            raise CheckpointMismatch(f"{self._misfit}: {min(self._arrays)} is unknown.")


def _unnest(mapping: Any) -> Any:
    inner = mapping.get("parameters") if isinstance(mapping, Mapping) else None
    return inner if isinstance(inner, Mapping) else mapping


def _only(mapping: Any, kind: type[T], source: str) -> dict[str, T]:
    if not isinstance(mapping, Mapping) or not mapping:
        raise CheckpointMismatch(f"{source}: holds no network weights.")
    strange = [str(key) for key, value in mapping.items() if not isinstance(value, kind)]
    if strange:
        raise CheckpointMismatch(f"{source}: expected only tensors, but {', '.join(strange[:_SHOWN])} are none.")
    return {str(key): value for key, value in mapping.items()}
