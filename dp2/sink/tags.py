"""Copies tags and chapters of a video, for those who ask for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from dp2.errors import UnreadableMedia
from dp2.media.ffmpeg_open import open_media
from dp2.ffmpeg_open import open_media
from dp2.sink.known_tags import Sifted, sift, sift_chapter

_MOST_CHAPTERS = 300
_MOST_NAMES, _LONGEST_NAME = 5, 40  # in a note
_NEVER = {"attachment": "attachments", "data": "data streams", "subtitle": "subtitles"}


def copy_tags(source: Path, output: OutputContainer, stream: VideoStream, start: Fraction | None) -> tuple[str, ...]:
    """Known tags of the file and of its video stream, and the chapters, moved by `start` seconds.

    Returns:
        words to be said on what was left out.

    Raises:
        UnreadableMedia: `source` cannot be opened.
    """
    try:
        container = open_media(source)
    except (av.FFmpegError, OSError) as error:
        raise UnreadableMedia(f"{source}: its tags cannot be read; leave out --keep-metadata.") from error
    with container:
        sifted = [sift(container.metadata)]
        output.metadata.update(sifted[0].kept)
        pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if pictures:
            sifted.append(sift(pictures[0].metadata))
            stream.metadata.update(sifted[-1].kept)
        chapters = _chapters(container, start or Fraction(0), sifted)
        if chapters:
            output.set_chapters(chapters)
        return (*refusal(sifted), *_left_out(container))


def refusal(sifted: Sequence[Sifted]) -> tuple[str, ...]:
    """What is to be said on tags that were refused."""
    names = list(dict.fromkeys(_readable(name) for part in sifted for name in part.refused))
    if not names:
        return ()
    shown = ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
    return (f"tags left out, because they are unknown or may hold a picture: {shown}",)


def _chapters(container: InputContainer, start: Fraction, sifted: list[Sifted]) -> list[Any]:
    chapters = []
    for chapter in container.chapters()[:_MOST_CHAPTERS]:
        shift = round(start / (chapter["time_base"] or Fraction(1)))
        if chapter["end"] > shift:
            moved = chapter.copy()
            moved["start"], moved["end"] = max(0, chapter["start"] - shift), chapter["end"] - shift
            sifted.append(sift_chapter(chapter["metadata"]))
            moved["metadata"] = sifted[-1].kept
            chapters.append(moved)
    return chapters


def _left_out(container: InputContainer) -> tuple[str, ...]:
    kinds = Counter[str](stream.type for stream in container.streams)
    covers = sum(bool(s.disposition & Disposition.attached_pic) for s in container.streams.video)
    named = [*(_NEVER[kind] for kind in _NEVER if kinds[kind]), *(["cover pictures"] if covers else [])]
    return (f"left out, as always: {', '.join(named)}",) if named else ()


def _readable(name: str) -> str:
    cut = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"
    return cut if cut.isprintable() else ascii(cut)
