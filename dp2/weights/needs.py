"""Which checkpoints a config needs: whatever its tree names under a key `weights`, referred configs included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dp2.errors import ConfigError
from dp2.weights.registry import entries

_REFERENCES = ("generator", "detector")


def weights_of(config: str | Path) -> tuple[str, ...]:
    """Checkpoint names in a config and in the configs that it refers to by path, each once, in order.

    A reference is a text that ends in .py under a key `generator`, `…_generator`, `detector` or `…_config`.

    Raises:
        ConfigError: a config cannot be loaded.
    """
    from omegaconf import OmegaConf

    from dp2.config import find_config, load_config

    found: dict[str, None] = {}
    visited: set[Path] = set()
    pending = [str(config)]
    while pending:
        path = find_config(pending.pop(0))
        if path in visited:
            continue
        visited.add(path)
        for key, value in _texts(OmegaConf.to_container(load_config(path), resolve=False)):
            if key == "weights" and "${" not in value:
                found[value] = None
            elif value.endswith(".py") and (key.endswith(("_config", "_generator")) or key in _REFERENCES):
                pending.append(value)
    return tuple(found)


def ready_anonymizers(locate: Callable[[str], Path | None]) -> tuple[str, ...]:
    """Anonymizers that need no checkpoint but those on this machine.

    Args:
        locate: registry name → file, None where it is absent.
    """
    known = entries()
    return tuple(
        config
        for config, needed in anonymizer_needs().items()
        if all(locate(name) is not None if name in known else Path(name).is_file() for name in needed)
    )


def anonymizer_needs() -> Mapping[str, tuple[str, ...]]:
    """Anonymizer → checkpoints; a config that cannot be loaded is left out, for it does not work either way."""
    from dp2.config import config_names

    needs: dict[str, tuple[str, ...]] = {}
    for name in config_names():
        try:
            needs[name] = weights_of(name)
        except ConfigError:
            continue
    return needs


def _texts(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a tree with the nearest key above it."""
    if isinstance(tree, str):
        yield key, tree
    elif isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _texts(value, str(name))
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _texts(value, key)
