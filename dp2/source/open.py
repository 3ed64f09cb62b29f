"""The right reader for a moving picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from dp2.source.animation import AnimationSource
from dp2.source.sniff import is_animation
from dp2.source.video import VideoSource


def open_source(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | Fraction | None = None,
    max_res: int | None = None,
    salvage: bool = False,
    max_pixels: int = 210_000_000,
    deinterlace: bool = False,
) -> VideoSource | AnimationSource:
    """A video, or an animated GIF or WebP. Arguments and errors as of `VideoSource`."""
    if is_animation(path):
        return AnimationSource(
            path, start=start, end=end, fps=fps, max_res=max_res, salvage=salvage, max_pixels=max_pixels
        )
    return VideoSource(
        path,
        start=start,
        end=end,
        fps=fps,
        max_res=max_res,
        salvage=salvage,
        max_pixels=max_pixels,
        deinterlace=deinterlace,
    )
