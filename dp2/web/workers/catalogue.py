"""The anonymizers as the page offers them: grouped by what they do, with a picture of it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from dp2.errors import ConfigError

NEW_FACES, COVERED_FACES, BODIES, EXPERIMENTS = "New faces", "Covered faces", "Whole people", "For experiments"
_ORDER = (NEW_FACES, COVERED_FACES, BODIES, EXPERIMENTS)
_BESIDES = {"face", "vehicle", "plate", "zone"}
_COVERS = "Redaction"


def offered(ready: Collection[str]) -> list[dict[str, Any]]:
    """Every anonymizer that comes with dp2: name, about, ready, group, rare, picture.

    Args:
        ready: those whose weights are on this machine.

    Returns:
        in groups, the usual ones first; `rare` ones are for experiments; `picture` is a file of the page, or None.
    """
    from dp2.config import config_names

    rows = [_row(name, name in ready) for name in config_names()]
    return sorted(rows, key=lambda row: _ORDER.index(row["group"]))


def _row(name: str, ready: bool) -> dict[str, Any]:
    from dp2.config import find_config

    text = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
    picture = f"tile_{name.replace('/', '_')}.webp"
    return {
        "name": name,
        "about": (text.splitlines() or [""])[0],
        "ready": ready,
        "group": _group(name),
        "rare": "/" in name,
        "picture": picture if files("dp2.web").joinpath("page", picture).is_file() else None,
    }


def _group(name: str) -> str:
    """Told from what the config builds, so that a new one needs no entry anywhere."""
    from dp2.config import load_config

    if "/" in name:
        return EXPERIMENTS
    try:
        synthesizers = _plain(load_config(name))
    except ConfigError:
        return EXPERIMENTS  # it cannot be built either
    if set(synthesizers) - _BESIDES:
        return BODIES
    target = str(synthesizers.get("face", {}).get("_target_", ""))
    return COVERED_FACES if target.endswith(_COVERS) else NEW_FACES


def _plain(tree: Any) -> Mapping[str, Any]:
    """What paints which kind, interpolations resolved.

    Raises:
        ConfigError: the config has none, or refers to what is not there.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        found = OmegaConf.to_container(tree.anonymizer.synthesizers, resolve=True)
    except (OmegaConfBaseException, AttributeError) as error:
        raise ConfigError(f"the config cannot be resolved: {' '.join(str(error).split())}") from error
    return {str(kind): part for kind, part in found.items()} if isinstance(found, dict) else {}
