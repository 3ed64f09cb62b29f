"""Configs: Python files whose top-level names are calls not made yet. See `dp2.config.load`."""

from dp2.config.load import (
    L,
    apply_override,
    build,
    config_names,
    config_roots,
    find_config,
    key_paths,
    load_config,
    set_key,
)

__all__ = [
    "L",
    "apply_override",
    "build",
    "config_names",
    "config_roots",
    "find_config",
    "key_paths",
    "load_config",
    "set_key",
]
