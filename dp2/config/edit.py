"""Options of the command line as changes to a config: an option sets every key of its name, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dp2.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

REDACTION = "dp2.synthesize.redact.Redaction"
MULTISCALE = "dp2.detect.combine.multiscale.MultiScale"
INPAINTER = "dp2.synthesize.inpaint.Inpainter"
_FILLS = "dp2.synthesize.fills"


def nodes(config: DictConfig) -> Iterator[DictConfig]:
    """Every mapping of a tree, itself included; interpolations are not followed, lists are."""
    from omegaconf import DictConfig, ListConfig, OmegaConf

    if config._is_none() or config._is_missing():
        return
    yield config
    for key in config:
        if OmegaConf.is_interpolation(config, str(key)):
            continue
        child = config._get_node(str(key))
        if isinstance(child, DictConfig):
            yield from nodes(child)
        elif isinstance(child, ListConfig) and not child._is_none():
            for item in child._iter_ex(resolve=False):
                if isinstance(item, DictConfig):
                    yield from nodes(item)


def set_everywhere(config: DictConfig, key: str, value: Any, option: str) -> None:
    """Give every key of this name the value.

    Raises:
        UsageError: the config has none, so the option would do nothing.
    """
    found = [node for node in nodes(config) if key in node]
    if not found:
        raise UsageError(f"{option}: this anonymizer has no {key}; see its config.")
    for node in found:
        node[key] = value


def redact_with(config: DictConfig, fill: str, settings: Mapping[str, Any]) -> None:
    """Let every classic redaction fill its regions with something else.

    Args:
        fill: the class in `dp2.synthesize.fills`.
        settings: its arguments.

    Raises:
        UsageError: nothing in this config redacts.
    """
    targets = [(node, node.get("_target_")) for node in nodes(config)]
    found = [node for node, target in targets if target == REDACTION]
    if not found or any(target == INPAINTER for _, target in targets):
        raise UsageError("--replacewith: this anonymizer does not redact but generates; choose e.g. face_blur.")
    for node in found:
        node["fill"] = {"_target_": f"{_FILLS}.{fill}", **settings}
