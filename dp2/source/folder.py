"""Walks through a folder and says what each file is."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dp2.errors import UnreadableMedia
from dp2.source.sniff import IMAGE_SUFFIXES, RAW_SUFFIXES, is_animation, is_image, read_head
from dp2.source.video_kind import VIDEO_SUFFIXES, is_video

Kind = Literal["image", "video", "animation", "other", "unreadable"]


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a folder.

    Attributes:
        path: the folder as given, with the place in it.
        relative: the place in the folder.
        kind: what has to read it; "other" is neither photo nor video; "unreadable" is a subfolder that cannot be
            looked into, so that photos may have been missed.
    """

    path: Path
    relative: Path
    kind: Kind


def walk(folder: Path, *, skip: Collection[Path] = ()) -> Iterator[Found]:
    """All files in a folder and its subfolders, sorted by path.

    Hidden files and folders are passed over. Links are followed; each folder is entered once, so links in a circle
    do no harm.

    Args:
        folder: where to look.
        skip: folders not to enter, e.g. the one that results go to.

    Raises:
        UnreadableMedia: there is no such folder, or it cannot be listed.
    """
    try:
        seen = {_identity(folder)}
        entries = _listed(folder)
    except NotADirectoryError as error:
        raise UnreadableMedia(f"{folder}: is not a folder.") from error
    except OSError as error:
        raise UnreadableMedia(f"{folder}: cannot be listed ({error.strerror}); check path and permissions.") from error
    for other in skip:
        if other.is_dir() and not other.samefile(folder):
            seen.add(_identity(other))
    yield from _walk(folder, entries, seen)


def kind_of(path: Path, suffix: str | None = None) -> Kind:
    """What has to read a file. The content decides, then the name: whoever reads a damaged file says what is wrong.

    Args:
        path: the file.
        suffix: of the name that it had; by default that of `path`.
    """
    if not path.is_file():
        return "other"  # pipes and devices too: opening one could wait for ever
    if is_animation(path):
        return "animation"
    suffix = (path.suffix if suffix is None else suffix).lower()
    if suffix in VIDEO_SUFFIXES and is_video(path, suffix):
        return "video"
    if is_image(path):
        return "image"
    if suffix in RAW_SUFFIXES:
        return "other"
    if suffix in IMAGE_SUFFIXES and not _is_known_video(path):
        return "image"
    return "video" if is_video(path, suffix) else "other"


def _is_known_video(path: Path) -> bool:
    return bool(read_head(path)) and is_video(path)


def _walk(folder: Path, entries: list[str], seen: set[tuple[int, int]], place: Path = Path()) -> Iterator[Found]:
    for name in entries:
        path, relative = folder / name, place / name
        if not path.is_dir():
            yield Found(path, relative, kind_of(path))
            continue
        try:
            identity = _identity(path)
            if identity in seen:
                continue
            seen.add(identity)
            inner = _listed(path)
        except OSError:
            yield Found(path, relative, "unreadable")
            continue
        yield from _walk(path, inner, seen, relative)


def _listed(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
