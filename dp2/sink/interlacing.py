"""Keeps interlaced video marked as such, with the encoders that can."""

from __future__ import annotations

from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from dp2.video_info import Fields

_ORDER = {Fields.TOP_FIRST: ("tff", 2), Fields.BOTTOM_FIRST: ("bff", 3)}  # x264's words, AVFieldOrder


def mark_interlaced(context: VideoCodecContext, fields: Fields) -> str | None:
    """Have an encoder that is not open yet encode and mark two fields a frame.

    Returns:
        words to be said where that cannot be.
    """
    if fields not in _ORDER:
        return None
    word, order = _ORDER[fields]
    if context.codec.name == "libx264" and context.height % 4 == 0:
        given = context.options.get("x264-params")
        context.options |= {"x264-params": f"{word}=1" if given is None else f"{given}:{word}=1"}
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.field_order = order
        return None
    return f"{context.codec.name} does not mark it as interlaced here; --deinterlace makes whole frames"
