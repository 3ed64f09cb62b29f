"""Which tags of a video may be written again: known ones, with values of the kind and length that they should have.

Everything else may hold a picture: `COVER` in base 64, raw pixels under a made-up name, kilobytes of "comment".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_TEXT, _NAME, _ALL = 500, 100, 4_000  # characters
_CODED = re.compile(r"[A-Za-z0-9+/=_-]{61,}", re.ASCII)  # no word is that long
_LONG = re.compile(r"[A-Za-z0-9+/=_-]{20,}", re.ASCII)
_LINK = re.compile(r"https?://[!-~]{1,200}(?=\s|$)")
_DATE = re.compile(r"\d{4}(?:[-:/.]?\d\d){0,2}(?:[T ][\d:.]{2,20})? ?(?:Z|UTC|[+-]\d\d:?\d\d)?", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{1,9})?(?:/\d{1,9})?", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)
_PLACE = re.compile(  # ISO 6709
    r"[+-]\d{1,7}(?:\.\d{1,10})?[+-]\d{1,8}(?:\.\d{1,10})?(?:[+-]\d{1,6}(?:\.\d{1,6})?)?(?:CRS[\w-]{1,20})?/?", re.ASCII
)
# FFmpeg names a tag that MP4 has in several languages `title-eng`; QuickTime's keys begin with their maker's name.
_VARIANT = re.compile(r"(?:com\.apple\.quicktime\.|com\.android\.)?(.+?)(?:-[a-z]{3})?")
# What a muxer writes itself, and what no longer holds because it was applied to the pixels. Timecode would become a
# track of its own.
_OWN = frozenset(
    [
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "rotate",
        "vendor_id",
        "duration",
        "timecode",
        "number_of_bytes",
        "number_of_frames",
        "bps",
        "_statistics_tags",
        "_statistics_writing_app",
        "_statistics_writing_date_utc",
    ]
)


@dataclass(frozen=True, slots=True)
class Sifted:
    """Tags sorted by whether they are written again.

    Attributes:
        kept: names as they were.
        refused: names of those that may hold anything.
    """

    kept: dict[str, str]
    refused: tuple[str, ...]


def sift(tags: Mapping[str, str]) -> Sifted:
    """Sort the tags of a file or a stream."""
    kept: dict[str, str] = {}
    refused, left = [], _ALL
    for name, value in tags.items():
        lowered = name.lower()
        variant = _VARIANT.fullmatch(lowered)
        is_right = _KINDS.get(lowered) or _KINDS.get("" if variant is None else variant[1])
        if is_right is not None and is_right(value) and len(name) + len(value) <= left:
            kept[name] = value
            left -= len(name) + len(value)
        elif lowered not in _OWN:
            refused.append(name)
    return Sifted(kept, tuple(refused))


def sift_chapter(tags: Mapping[str, str]) -> Sifted:
    """Sort the tags of a chapter, of which a short title may stay."""
    kept = {name: value for name, value in tags.items() if name.lower() == "title" and _is_name(value)}
    return Sifted(kept, tuple(name for name in tags if name not in kept and name.lower() not in _OWN))


def _is_text(value: str, longest: int = _TEXT) -> bool:
    """Words: no control characters, and not for the most part what looks like bytes written as letters."""
    if len(value) > longest or not all(character.isprintable() or character in "\r\n\t" for character in value):
        return False
    words = _LINK.sub("", value)
    return not _CODED.search(words) and sum(map(len, _LONG.findall(words))) <= max(60, len(words) // 2)


def _is_name(value: str) -> bool:
    return _is_text(value, _NAME)


def _like(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: len(value) <= _NAME and pattern.fullmatch(value) is not None


_KINDS: Mapping[str, Callable[[str], bool]] = {
    **dict.fromkeys(
        ["title", "comment", "description", "synopsis", "summary", "copyright", "subject", "keywords", "license"],
        _is_text,
    ),
    **dict.fromkeys(
        [
            "artist",
            "album",
            "album_artist",
            "author",
            "composer",
            "performer",
            "genre",
            "show",
            "network",
            "publisher",
            "director",
            "producer",
            "encoded_by",
            "make",
            "model",
            "software",
            "manufacturer",
            "version",
            "handler_name",
        ],
        _is_name,
    ),
    **dict.fromkeys(
        ["date", "year", "creation_time", "creationdate", "date_recorded", "date_released", "date_digitized"],
        _like(_DATE),
    ),
    **dict.fromkeys(
        ["track", "disc", "episode_sort", "season_number", "capture.fps", "location.accuracy.horizontal"],
        _like(_NUMBER),
    ),
    "language": _like(_LANGUAGE),
    "location": _like(_PLACE),
    "location.iso6709": _like(_PLACE),
}
