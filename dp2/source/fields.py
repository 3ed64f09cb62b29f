"""Interlaced video: frames that hold two pictures, in their even and their odd lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dp2.media.video_info import Fields
from dp2.source.layout import Layout

_BOTTOM_FIRST = {3, 5}  # AVFieldOrder: BB, BT
_INTERLACED = {2, 3, 4, 5}


def fields_of(stream: VideoStream, frame: VideoFrame) -> Fields:
    """Which field of a decoded frame comes first; top where the file does not say, as decoders assume."""
    order = stream.codec_context.field_order
    if not frame.interlaced_frame and order not in _INTERLACED:
        return Fields.NONE
    if order not in _INTERLACED and stream.codec_context.name == "dvvideo":
        return Fields.BOTTOM_FIRST  # IEC 61834
    return Fields.BOTTOM_FIRST if order in _BOTTOM_FIRST else Fields.TOP_FIRST


def fields_as_shown(fields: Fields, layout: Layout, height: int) -> Fields:
    """What becomes of the fields when a frame of that height is cropped and turned; `LOST` if they are no lines."""
    if fields is Fields.NONE:
        return fields
    orientation, crop = layout.orientation, layout.crop
    if orientation.swap or orientation.turn:
        return Fields.LOST
    odd = crop.top % 2
    if orientation.mirror_y:
        odd = (height - 1 - crop.bottom) % 2
    return fields if odd == 0 else fields.exchanged


def deinterlaced(frames: Iterable[VideoFrame], *, every: bool) -> Iterator[VideoFrame]:
    """One whole frame for each, at the same times (in another time base), by FFmpeg's bwdif.

    Args:
        frames: those that change their size or format start anew.
        every: also frames that are not marked as interlaced.
    """
    graph: Graph | None = None
    kind: tuple[object, ...] = ()
    try:
        for frame in frames:
            this = (frame.width, frame.height, frame.format.name)
            if this != kind:
                yield from _flushed(graph)
                graph, kind = _graph(frame, "all" if every else "interlaced"), this
            if graph is None:
                yield frame
                continue
            graph.push(frame)
            yield from _pulled(graph)
    except Exception:  # of whoever delivers frames: those that came before are whole
        yield from _flushed(graph)
        raise
    yield from _flushed(graph)


def _graph(frame: VideoFrame, which: str) -> Graph | None:
    if frame.width < 3 or frame.height < 4:  # what bwdif refuses
        return None
    graph = Graph()
    start = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=str(frame.time_base),
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    weave = graph.add("bwdif", f"mode=send_frame:parity=auto:deint={which}")
    end = graph.add("buffersink")
    start.link_to(weave)
    weave.link_to(end)
    graph.configure()
    return graph


def _flushed(graph: Graph | None) -> Iterator[VideoFrame]:
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        if isinstance(frame, VideoFrame):
            yield frame
