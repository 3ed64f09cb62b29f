"""Keeps interlaced video marked as such, with the encoders that can."""

from __future__ import annotations

from av.codec.context import Flags
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from dp2.video_info import Fields

_WORDS = {Fields.TOP_FIRST: "tff", Fields.BOTTOM_FIRST: "bff"}
_ABLE = frozenset({"libx264", "mpeg4", "mpeg2video"})


class Interlacing:
    """Marks frames on their way to an encoder.

    Args:
        context: of the encoder, not open yet, its size and pixel format set.
        fields: of the frames.

    Attributes:
        notes: words to be said where the mark cannot be kept.
    """

    def __init__(self, context: VideoCodecContext, fields: Fields) -> None:
        self.notes: tuple[str, ...] = ()
        self._graph: Graph | None = None
        word = _WORDS.get(fields)
        if word is None:
            return
        if context.codec.name not in _ABLE or context.height % 4:
            self.notes = (
                f"{context.codec.name} does not mark it as interlaced here; --deinterlace makes whole frames",
            )
            return
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.field_order = 2 if fields is Fields.TOP_FIRST else 3  # AVFieldOrder: TT, BB
        if context.codec.name == "libx264":  # does not change its mind later
            given = context.options.get("x264-params")
            context.options |= {"x264-params": f"{word}=1" if given is None else f"{given}:{word}=1"}
        # Encoders go by each frame, and PyAV sets the order of a frame's fields by a filter only.
        self._graph = Graph()
        nodes = [
            self._graph.add(
                "buffer",
                video_size=f"{context.width}x{context.height}",
                pix_fmt=str(context.pix_fmt),
                time_base=str(context.time_base),
            ),
            self._graph.add("setfield", word),
            self._graph.add("buffersink"),
        ]
        self._graph.link_nodes(*nodes).configure()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The same picture, marked."""
        if self._graph is None:
            return frame
        self._graph.push(frame)
        marked = self._graph.pull()
        if not isinstance(marked, VideoFrame):
            raise TypeError(f"the filter gave {type(marked).__name__}")
        return marked
