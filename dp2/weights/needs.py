"""Which checkpoints a config needs: what its anonymizer names under `weights`, referred configs included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dp2.errors import ConfigError, one_line
from dp2.weights import registry

if TYPE_CHECKING:
    from omegaconf import DictConfig

_NAMES = ("weights", "embedding")
_REFERENCES = ("generator", "detector")


def weights_of(config: str | Path) -> tuple[str, ...]:
    """Checkpoint names in a config and in the configs that it refers to by path, each once, in order.

    Raises:
        ConfigError: a config cannot be loaded.
    """
    from dp2.config import load_config

    return weights_in(load_config(config))


def weights_in(
    tree: DictConfig, *, detector: bool = True, load: Callable[[str], DictConfig] | None = None
) -> tuple[str, ...]:
    """As `weights_of`, of a loaded config with its overrides.

    Of an anonymizer only what it is built from counts, not what lies beside it. A reference is a text that ends in .py
    under a key `generator`, `…_generator`, `detector` or `…_config`.

    Args:
        tree: what `dp2.config.load_config` gave.
        detector: False leaves the detector out: detections are given.
        load: loads a referred config; `load_config`, save where many configs share theirs.

    Raises:
        ConfigError: a config cannot be loaded.
    """
    from dp2.config import find_config, load_config

    load = load or load_config
    found: dict[str, None] = {}
    visited: set[Path] = set()
    pending = [_built(tree, detector)]
    while pending:
        for key, value in _texts(pending.pop(0)):
            if key in _NAMES and "${" not in value:
                found[value] = None
            elif value.endswith(".py") and (key.endswith(("_config", "_generator")) or key in _REFERENCES):
                path = find_config(value)
                if path not in visited:
                    visited.add(path)
                    pending.append(_built(load(str(path)), True))
    return tuple(found)


def ready_anonymizers(locate: Callable[[str], Path | None]) -> tuple[str, ...]:
    """Anonymizers that need no checkpoint but those on this machine.

    Args:
        locate: registry name → file, None where it is absent.
    """
    known = registry.entries()
    return tuple(
        config
        for config, needed in anonymizer_needs().items()
        if all(locate(name) is not None if name in known else Path(name).is_file() for name in needed)
    )


@cache
def anonymizer_needs() -> Mapping[str, tuple[str, ...]]:
    """Anonymizer → checkpoints, read once a process, for loading all configs takes a second.

    A config that cannot be loaded is left out, for it does not work either way.
    """
    from dp2.config import config_names, load_config

    load = cache(load_config)
    needs: dict[str, tuple[str, ...]] = {}
    for name in config_names():
        try:
            needs[name] = weights_in(load_config(name), load=load)
        except ConfigError:
            continue
    return MappingProxyType(needs)


def _built(tree: DictConfig, detector: bool) -> Any:
    """What a config's anonymizer is made of, interpolations resolved; all of a config that has none."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if "anonymizer" not in tree:
        return OmegaConf.to_container(tree, resolve=False)
    try:
        parts = OmegaConf.to_container(tree.anonymizer, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"the config cannot be resolved: {one_line(error)}") from error
    if isinstance(parts, dict) and not detector:
        parts.pop("detector", None)
    return parts


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
