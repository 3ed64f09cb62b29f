"""From the text of a pipeline to its nodes. The file is untrusted: it is read as data, by YAML's safe loader."""

from __future__ import annotations

import difflib
import reprlib
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from dp2.errors import UsageError
from dp2.peekingduck.nodes import KINDS, Kind, Node

_LARGEST = 1 << 20  # bytes
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class Named:
    """A node with its name in the file."""

    name: str
    node: Node


def load_pipeline(path: Path, overrides: Sequence[str] = ()) -> list[Named]:
    """Read a pipeline file.

    Args:
        path: YAML with the list `nodes`.
        overrides: `draw.mosaic_bbox.mosaic_level=5`, or `input.source=clip.mp4` where only one node begins so.

    Raises:
        UsageError: it cannot be read, or has a node, option or value that is not known; the known ones are named.
    """
    entries = [_entry(entry, path) for entry in _list(path)]
    for override in overrides:
        _apply(entries, override)
    return [Named(name, _build(name, options, path)) for name, options in entries]


def _list(path: Path) -> list[Any]:
    import yaml

    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path}: is too large for a pipeline.")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is not valid YAML ({' '.join(str(error).split())[:200]}).") from error
    nodes = data.get("nodes") if isinstance(data, dict) else None
    if not isinstance(nodes, list) or not nodes:
        raise UsageError(f"{path}: a pipeline is a list of nodes under `nodes:`.")
    return nodes


def _entry(entry: Any, path: Path) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return _named(entry, {}, path)
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, options),) = entry.items()
        return _named(name, {} if options is None else options, path)
    raise UsageError(f"{path}: {_shown(entry)} is no node; write `- name` or `- name:` with its options below.")


def _named(name: Any, options: Any, path: Path) -> tuple[str, dict[str, Any]]:
    if name not in KINDS:
        raise UsageError(f"{path}: there is no node {name}; known are {_nearest(str(name), KINDS)}.")
    if not isinstance(options, dict):
        raise UsageError(f"{path}: the options of {name} must be written as `option: value`.")
    return name, dict(options)


def _apply(entries: list[tuple[str, dict[str, Any]]], override: str) -> None:
    import yaml

    key, separator, text = override.partition("=")
    node, _, option = key.rpartition(".")
    if not separator or not node:
        raise UsageError(f"{override!r}: write NODE.OPTION=VALUE, e.g. input.source=clip.mp4.")
    found = [entry for entry in entries if entry[0] == node or entry[0].startswith(f"{node}.")]
    if len(found) != 1:
        what = "several nodes of" if found else "no node"
        raise UsageError(
            f"{override}: the pipeline has {what} {node}; it has {_nearest(node, [name for name, _ in entries])}."
        )
    ((name, options),) = found
    option = _known(name, KINDS[name], option)
    for other in [given for given in options if _known(name, KINDS[name], given) == option]:
        del options[other]
    try:
        # A path is taken as it stands: `a: b.mp4` is one, not a mapping.
        options[option] = text if option == "source" and not text.isdecimal() else yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{override}: the value is not valid YAML.") from error


def _build(name: str, options: dict[str, Any], path: Path) -> Node:
    kind = KINDS[name]
    renamed: dict[str, Any] = {}
    for given, value in options.items():
        option = _known(name, kind, given)
        if option in renamed:
            raise UsageError(f"{path}: {name}: {option} is given twice.")
        renamed[option] = value
    node: Node = _dataclass(kind.build, renamed, f"{path}: {name}")
    return node


def _known(name: str, kind: Kind, option: Any) -> str:
    names = [item.name for item in fields(kind.build)]
    if option in kind.foreign:
        raise UsageError(f"{name}: {option}: {kind.foreign[option]}.")
    wanted = kind.renamed.get(option, option)
    if wanted not in names:
        raise UsageError(f"{name} has no option {option}; known are {_nearest(str(option), names)}.")
    return str(wanted)


def _dataclass(build: type[Any], options: dict[Any, Any], where: str) -> Any:
    wanted = typing.get_type_hints(build)
    for option in options:
        if option not in wanted:
            raise UsageError(f"{where} has no option {option}; known are {_nearest(str(option), wanted)}.")
    values = {name: _value(wanted[name], value, f"{where}: {name}") for name, value in options.items()}
    try:
        return build(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _value(wanted: Any, value: Any, where: str) -> Any:
    """The value as its type, or an error that says what is wanted."""
    if is_dataclass(wanted):
        if not isinstance(value, dict):
            raise UsageError(f"{where}: options are wanted, not {_shown(value)}.")
        return _dataclass(typing.cast("type[Any]", wanted), value, where)
    if typing.get_origin(wanted) is tuple:
        (each, _) = typing.get_args(wanted)
        if not isinstance(value, list):
            raise UsageError(f"{where}: a list is wanted, not {_shown(value)}.")
        return tuple(_value(each, item, where) for item in value)
    allowed = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    if type(value) in allowed:  # exactly: true is no number
        return value
    if float in allowed and type(value) is int:
        return float(value)
    names = " or ".join(_WORDS.get(each, "null") for each in allowed)
    raise UsageError(f"{where}: {names} is wanted, not {_shown(value)}.")


def _shown(value: Any) -> str:
    """The beginning of a value: aliases make gigabytes of text from a few lines of YAML."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 1, 60, 60
    return short.repr(value)


def _nearest(word: str, known: Iterable[str]) -> str:
    """All known names, the nearest first."""

    def distance(name: str) -> float:
        return -difflib.SequenceMatcher(None, word, name).ratio()

    return ", ".join(sorted(known, key=distance))
