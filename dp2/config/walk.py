"""Walking through a loaded config without resolving it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig, ListConfig


def children(node: DictConfig | ListConfig) -> Iterator[tuple[Any, Any]]:
    """(key or index, value) of a node's own entries; interpolations and missing values are left out."""
    from omegaconf import DictConfig, OmegaConf

    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        if not OmegaConf.is_interpolation(node, key) and not OmegaConf.is_missing(node, key):
            yield key, node[key]


def nodes(config: DictConfig | ListConfig) -> Iterator[DictConfig]:
    """Every mapping of a tree, itself included."""
    from omegaconf import DictConfig, ListConfig

    if isinstance(config, DictConfig):
        yield config
    for _, child in children(config):
        if isinstance(child, (DictConfig, ListConfig)):
            yield from nodes(child)
