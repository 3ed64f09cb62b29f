"""From a checkpoint to a network: picks the weights that matter, and loads them with every key accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from dp2.errors import CheckpointMismatch
from dp2.weights.readers import load_checkpoint
from dp2.weights.tables import generator_table, network_table

__all__ = ["generator_state", "load_checkpoint", "load_strict", "network_state"]

Rename = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]

_SHOWN = 10


def generator_state(
    checkpoint: Mapping[str, Any], source: str = "the checkpoint"
) -> tuple[dict[str, Tensor], Tensor | None]:
    """See `dp2.weights.tables.generator_table`."""
    return generator_table(checkpoint, Tensor, source)


def network_state(checkpoint: Mapping[str, Any], source: str = "the checkpoint") -> dict[str, Tensor]:
    """See `dp2.weights.tables.network_table`."""
    return network_table(checkpoint, Tensor, source)


def load_strict(
    module: nn.Module,
    state: Mapping[str, Tensor],
    leftovers: Iterable[str] = (),
    source: str = "the checkpoint",
    rename: Rename | None = None,
) -> tuple[str, ...]:
    """Load weights so that each key is used or knowingly left over, and each of the network's is given.

    Args:
        module: filled in place; left as it was when the check fails.
        state: key → tensor.
        leftovers: keys, or fnmatch patterns of keys, that the network has no use for.
        source: the file, for errors.
        rename: state under published names → under the module's.

    Returns:
        the keys left over.

    Raises:
        CheckpointMismatch: missing keys, unknown keys, wrong shapes; the first ten are listed.
    """
    state = dict(rename(state) if rename else state)
    wanted = module.state_dict()
    patterns = tuple(leftovers)
    extra = [key for key in state if key not in wanted]
    unknown = [key for key in extra if not any(key == pattern or fnmatchcase(key, pattern) for pattern in patterns)]
    problems = [f"{key} is missing" for key in wanted if key not in state]
    problems += [f"{key} is unknown" for key in unknown]
    problems += [text for key, target in wanted.items() if key in state and (text := _misfit(key, state[key], target))]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointMismatch(
            f"{source}: does not fit {type(module).__name__}: {'; '.join(problems[:_SHOWN])}{more}."
        )
    module.load_state_dict({key: state[key] for key in wanted}, strict=True)
    return tuple(extra)


def _misfit(key: str, given: Tensor, wanted: Tensor) -> str | None:
    if given.shape != wanted.shape:
        return f"{key} has the shape {tuple(given.shape)}, not {tuple(wanted.shape)}"
    if given.is_floating_point() != wanted.is_floating_point() or given.is_complex() != wanted.is_complex():
        return f"{key} has the type {given.dtype}, not {wanted.dtype}"
    return None
