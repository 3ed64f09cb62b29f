"""From a checkpoint to a network: picks the weights that matter, and loads them with every key accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from dp2.errors import CheckpointMismatch
from dp2.weights.readers import load_checkpoint

__all__ = ["generator_state", "load_checkpoint", "load_strict", "network_state"]

Rename = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]

_GENERATORS = ("EMA_generator", "running_average_generator")
_NETWORKS = ("model", "state_dict", "net_state_dict")
_SHOWN = 10


def generator_state(
    checkpoint: Mapping[str, Any], source: str = "the checkpoint"
) -> tuple[dict[str, Tensor], Tensor | None]:
    """The averaged generator of a checkpoint and, where it has them, the centres of multi-modal truncation.

    The weights lie under `EMA_generator`, else `running_average_generator` (in DeepPrivacy1's files possibly once more
    under `parameters`), else at top level, as `dp2 weights import` writes them. The centres lie beside them as
    `w_centers`, or among them as `style_net.w_centers`.

    Args:
        source: the file, for errors.

    Returns:
        key → tensor, without the centres; and the centres (M, w_channels) or None.

    Raises:
        CheckpointMismatch: it holds no generator.
    """
    inner = _unnest(checkpoint)
    chosen = next((table[name] for table in (checkpoint, inner) for name in _GENERATORS if name in table), inner)
    state = _tensors(_unnest(chosen), source)
    inside = [state.pop(key, None) for key in ("style_net.w_centers", "w_centers")]
    centers = next((found for found in (checkpoint.get("w_centers"), *inside) if isinstance(found, Tensor)), None)
    if centers is not None and centers.ndim != 2:
        raise CheckpointMismatch(f"{source}: w_centers has the shape {tuple(centers.shape)}; expected (M, w_channels).")
    return state, centers


def network_state(checkpoint: Mapping[str, Any], source: str = "the checkpoint") -> dict[str, Tensor]:
    """The weights of a detector, pose network or embedding: under `model`, `state_dict`, … or at top level.

    Raises:
        CheckpointMismatch: it holds no tensors there.
    """
    for name in _NETWORKS:
        if isinstance(checkpoint.get(name), Mapping):
            return _tensors(checkpoint[name], source)
    return _tensors(checkpoint, source)


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


def _unnest(mapping: Any) -> Any:
    inner = mapping.get("parameters") if isinstance(mapping, Mapping) else None
    return inner if isinstance(inner, Mapping) else mapping


def _tensors(mapping: Any, source: str) -> dict[str, Tensor]:
    if not isinstance(mapping, Mapping) or not mapping:
        raise CheckpointMismatch(f"{source}: holds no network weights.")
    strange = [str(key) for key, value in mapping.items() if not isinstance(value, Tensor)]
    if strange:
        raise CheckpointMismatch(f"{source}: expected only tensors, but {', '.join(strange[:_SHOWN])} are none.")
    return {str(key): value for key, value in mapping.items()}
