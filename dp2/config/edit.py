"""Options of the command line as changes to a config: an option sets every key of its name, wherever it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dp2.config.walk import nodes
from dp2.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig

_FILLS = "dp2.synthesize.fills"


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
        UsageError: something in this config is not redacted but generated, so that it would stay as it was.
    """
    kinds = config.anonymizer.synthesizers if "anonymizer" in config else {}
    found = [node for node in nodes(config) if "fill" in node]
    if not found or not all("fill" in kinds[kind] for kind in kinds):
        raise UsageError(
            "--replacewith: this anonymizer generates new content; choose one that redacts, such as face_blur."
        )
    for node in found:
        node["fill"] = {"_target_": f"{_FILLS}.{fill}", **settings}
