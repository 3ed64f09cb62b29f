"""Which containers are written, and what goes into them by default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dp2.errors import UsageError


@dataclass(frozen=True)
class Container:
    """A video file format as FFmpeg writes it.

    Attributes:
        format: FFmpeg's name of the muxer; named, because .m4v and .ts alone would give other ones.
        codec: default encoder.
        options: of the muxer.
        constant_rate: frames cannot have times of their own.
    """

    format: str
    codec: str = "libx264"
    options: tuple[tuple[str, str], ...] = ()
    constant_rate: bool = False


_ISO = (("movflags", "+faststart"),)
CONTAINERS = {
    ".mp4": Container("mp4", options=_ISO),
    ".m4v": Container("mp4", options=_ISO),
    ".mov": Container("mov", options=_ISO),
    ".mkv": Container("matroska"),
    ".webm": Container("webm", codec="libvpx-vp9"),
    ".avi": Container("avi", constant_rate=True),
    ".ts": Container("mpegts"),
    ".mts": Container("mpegts"),
    ".m2ts": Container("mpegts", options=(("mpegts_m2ts_mode", "1"),)),
    ".flv": Container("flv"),
}
ANIMATION_SUFFIXES = frozenset({".gif", ".webp"})
VIDEO_OUTPUT_SUFFIXES = frozenset(CONTAINERS) | ANIMATION_SUFFIXES


def container_of(path: Path) -> Container:
    """The container that a name asks for.

    Raises:
        UsageError: none that is written.
    """
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        known = " ".join(sorted(VIDEO_OUTPUT_SUFFIXES))
        raise UsageError(f"{path}: video cannot be written as {path.suffix!r}; use one of {known}.") from None
