"""The right writer for a moving picture."""

from __future__ import annotations

from pathlib import Path

from dp2.media.video_info import VideoInfo
from dp2.sink.animation import AnimationSink
from dp2.sink.containers import ANIMATION_SUFFIXES
from dp2.sink.encoder import Encoding
from dp2.sink.video import VideoSink
from dp2.stages import Sink


def open_sink(
    path: Path,
    info: VideoInfo,
    *,
    encoding: Encoding | None = None,
    keep_audio: bool = False,
    keep_metadata: bool = False,
    start: float | None = None,
    end: float | None = None,
    overwrite: bool = False,
) -> Sink:
    """A video, or an animated GIF or WebP by the name of `path`. Arguments and errors as of `VideoSink`."""
    if path.suffix.lower() in ANIMATION_SUFFIXES:
        return AnimationSink(path, info, overwrite=overwrite)
    return VideoSink(
        path,
        info,
        encoding=encoding,
        keep_audio=keep_audio,
        keep_metadata=keep_metadata,
        start=start,
        end=end,
        overwrite=overwrite,
    )
