"""YAML out of files and off command lines as plain data of bounded size."""

from __future__ import annotations

from typing import Any

_MOST_VALUES = 10_000  # with what aliases repeat
_DEEPEST = 50
_LONGEST = 1 << 20  # characters


def parse_yaml(text: str, *, copied: bool = True) -> Any:
    """The value of a YAML text.

    Args:
        copied: the tree will be copied, so that what aliases repeat counts as often as they do.

    Raises:
        ValueError: it is no YAML, of other types than plain ones, very large or deep, or holds control characters,
            which no name, path or number has.
    """
    import yaml

    if len(text) > _LONGEST:
        raise ValueError("it is too long")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    _check(value, copied)
    return value


def _check(value: Any, copied: bool) -> None:
    pending = [(value, 0)]
    seen, known = 0, set()
    while pending:
        item, depth = pending.pop()
        if not copied and isinstance(item, (dict, list)):
            if id(item) in known:
                continue
            known.add(id(item))
        seen += 1
        if seen > _MOST_VALUES or depth > _DEEPEST:
            raise ValueError("it is too large or too deep")
        if isinstance(item, str) and any(ord(letter) < 32 and letter not in "\t\n\r" for letter in item):
            raise ValueError("a text in it holds control characters")
        if isinstance(item, dict):
            below = [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            below = list(item)
        elif item is None or isinstance(item, (str, int, float, bool)):
            continue
        else:
            raise ValueError(f"it holds a {type(item).__name__}")
        if len(pending) + len(below) > _MOST_VALUES:
            raise ValueError("it is too large or too deep")
        pending += [(entry, depth + 1) for entry in below]
