"""Which checkpoints and extras a config needs: what its anonymizer names, referred configs included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dp2.errors import ConfigError, MissingExtra, one_line
from dp2.extras import extra_of, is_installed, missing_extra
from dp2.weights import registry

if TYPE_CHECKING:
    from omegaconf import DictConfig

_NAMES = ("weights", "embedding")
_REFERENCES = ("generator", "detector")
_EXTRA = "torch"  # what anonymizers may need; where it is here, nothing is looked up, which would take its import


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
    found: dict[str, None] = {}
    for part in _parts(tree, detector, load):
        for key, value in _texts(part):
            if key in _NAMES and "${" not in value:
                found[value] = None
    return tuple(found)


def check_extras(tree: DictConfig, name: str, *, detector: bool = True) -> None:
    """Raise `MissingExtra` if a loaded config needs an extra of dp2 that is not installed.

    Args:
        tree: what `dp2.config.load_config` gave.
        name: of the config, for the message.
        detector: False leaves the detector out: detections are given.

    Raises:
        ConfigError: a config cannot be loaded.
    """
    missing = missing_extra_of(tree, detector=detector)
    if missing is not None:
        raise missing_extra(name, missing)


def missing_extra_of(
    tree: DictConfig, *, detector: bool = True, load: Callable[[str], DictConfig] | None = None
) -> str | None:
    """The first extra that a loaded config needs and that is not installed; arguments as of `weights_in`.

    A class says what it needs by its attribute `extra`, or by failing to be imported.

    Raises:
        ConfigError: a config cannot be loaded.
    """
    if is_installed(_EXTRA):
        return None
    for part in _parts(tree, detector, load):
        for key, value in _texts(_run_without_torch(part)):
            extra = _extra_of_target(value) if key == "_target_" else None
            if extra is not None:
                return extra
    return None


def _run_without_torch(part: Any) -> Any:
    """A generator's config without the network, where what it names as `cpu_backend` takes its place."""
    if isinstance(part, Mapping) and "cpu_backend" in part and "weights" in part:
        return {key: part[key] for key in ("cpu_backend", "weights")}
    return part


def _extra_of_target(target: str) -> str | None:
    import hydra.utils

    try:
        found = hydra.utils.get_object(target)
    except ModuleNotFoundError as error:
        return extra_of(error)
    except Exception:  # a target that does not exist is `dp2.config.build`'s to report
        return None
    extra = getattr(found, "extra", None)
    return extra if isinstance(extra, str) else None


def _parts(tree: DictConfig, detector: bool, load: Callable[[str], DictConfig] | None) -> Iterator[Any]:
    """What a config's anonymizer is built from, then the same of each config that it refers to, each once."""
    from dp2.config import find_config, load_config

    visited: set[Path] = set()
    pending = [_built(tree, detector)]
    while pending:
        part = pending.pop(0)
        yield part
        for key, value in _texts(part):
            if value.endswith(".py") and (key.endswith(("_config", "_generator")) or key in _REFERENCES):
                path = find_config(value)
                if path not in visited:
                    visited.add(path)
                    pending.append(_built((load or load_config)(str(path)), True))


def ready_anonymizers(locate: Callable[[str], Path | None]) -> tuple[str, ...]:
    """Anonymizers that need no checkpoint but those on this machine, and no package that is not installed.

    Args:
        locate: registry name → file, None where it is absent.
    """
    known = registry.entries()
    lacking = anonymizers_lacking_extras()
    return tuple(
        config
        for config, needed in anonymizer_needs().items()
        if config not in lacking
        and all(locate(name) is not None if name in known else Path(name).is_file() for name in needed)
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


@cache
def anonymizers_lacking_extras() -> Mapping[str, str]:
    """Anonymizer → the extra of dp2 that it needs and that is not installed."""
    from dp2.config import config_names, load_config

    if is_installed(_EXTRA):
        return MappingProxyType({})
    load = cache(load_config)
    lacking: dict[str, str] = {}
    for name in config_names():
        try:
            missing = missing_extra_of(load_config(name), load=load)
        except (ConfigError, MissingExtra):
            continue
        if missing is not None:
            lacking[name] = missing
    return MappingProxyType(lacking)


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
