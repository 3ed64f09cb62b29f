"""Copies tags and chapters of a video, for those who ask for it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from dp2.errors import UnreadableMedia
from dp2.media.ffmpeg_open import open_media

# What the muxer writes itself, and what no longer holds because it was applied to the pixels.
_OWN = {"major_brand", "minor_version", "compatible_brands", "encoder", "rotate", "vendor_id", "duration"}


def copy_tags(source: Path, output: OutputContainer, stream: VideoStream, start: Fraction | None) -> None:
    """Tags of the file and of its video stream, and the chapters, moved by `start` seconds.

    Raises:
        UnreadableMedia: `source` cannot be opened.
    """
    try:
        container = open_media(source)
    except (av.FFmpegError, OSError) as error:
        raise UnreadableMedia(f"{source}: its tags cannot be read; leave out --keep-metadata.") from error
    with container:
        output.metadata.update(_kept(container.metadata))
        if container.streams.video:
            stream.metadata.update(_kept(container.streams.video[0].metadata))
        chapters = []
        for chapter in container.chapters():
            shift = round((start or 0) / (chapter["time_base"] or Fraction(1)))
            if chapter["end"] > shift:
                moved = chapter.copy()
                moved["start"], moved["end"] = max(0, chapter["start"] - shift), chapter["end"] - shift
                chapters.append(moved)
        if chapters:
            output.set_chapters(chapters)


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key.lower() not in _OWN}
