"""Finds in a container which edges of its frames are not to be shown.

What a stream itself crops (the conformance window of H.264 and HEVC) its decoder has done. MP4's clean aperture and
Matroska's PixelCrop are the container's, and come on top.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from dp2.source.boxes import Box, boxes, first, inner
from dp2.source.ebml import Element, elements, unsigned
from dp2.source.layout import Crop

_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_TYPE, _CODEC, _IS_VIDEO = 0x83, 0x86, 1
_PIXEL_CROP = {0x54CC: "left", 0x54BB: "top", 0x54DD: "right", 0x54AA: "bottom"}
_SAMPLE_ENTRY = 78  # bytes before the boxes of a video's sample entry (ISO/IEC 14496-12, 12.1.3)


def container_crop(path: Path, container: str, index: int, identifier: int, size: tuple[int, int]) -> Crop | None:
    """What a container cuts off a video track.

    Args:
        path: an MP4, MOV or Matroska file; others cut off nothing.
        container: FFmpeg's name of its format.
        index: of the track among those of video, from 0; for Matroska.
        identifier: of the track; for MP4.
        size: (width, height) of its decoded frames.

    Returns:
        None where what it says leaves nothing, or lies outside of the frame.
    """
    with path.open("rb") as file:
        whole = path.stat().st_size
        if "mp4" in container.split(","):
            crop = _clean_aperture(file, whole, identifier, size)
        elif "matroska" in container.split(","):
            crop = _pixel_crop(file, whole, index)
        else:
            crop = Crop()
    return crop if crop is not None and crop.fits(*size) else None


def _clean_aperture(file: BinaryIO, whole: int, identifier: int, size: tuple[int, int]) -> Crop | None:
    for track in inner(file, Box(b"", 0, whole), b"moov", b"trak"):
        header = first(file, track, b"tkhd")
        table = first(file, track, b"mdia", b"minf", b"stbl", b"stsd")
        if header is None or table is None or _track_id(file, header) != identifier:
            continue
        for entry in boxes(file, table.start + 8, table.end):
            clap = first(file, Box(entry.kind, entry.start + _SAMPLE_ENTRY, min(entry.end, table.end)), b"clap")
            if clap is not None:
                file.seek(clap.start)
                return _aperture(file.read(32), size)
    return Crop()


def _track_id(file: BinaryIO, header: Box) -> int:
    file.seek(header.start)
    data = file.read(24)
    at = 20 if data[:1] == b"\1" else 12
    return int.from_bytes(data[at : at + 4], "big")


def _aperture(data: bytes, size: tuple[int, int]) -> Crop | None:
    """ISO/IEC 14496-12, 12.1.4: size and offset of the middle, as fractions; parts of a pixel are not shown."""
    values = [int.from_bytes(data[at : at + 4], "big", signed=True) for at in range(0, len(data), 4)]
    if len(values) != 8 or 0 in values[1::2]:
        return None
    width, height, x, y = (Fraction(*values[at : at + 2]) for at in range(0, 8, 2))
    if width <= 0 or height <= 0:
        return None
    left, top = (size[0] - width) / 2 + x, (size[1] - height) / 2 + y
    return Crop(math.ceil(left), math.ceil(top), size[0] - math.floor(left + width), size[1] - math.floor(top + height))


def _pixel_crop(file: BinaryIO, whole: int, index: int) -> Crop:
    """RFC 9559, 5.1.4.1.28.8 to 11."""
    place = -1
    for track in _below(file, [Element(0, 0, whole)], whole, _SEGMENT, _TRACKS, _TRACK):
        place += _is_video(file, track, whole)
        if place == index:
            edges = {
                _PIXEL_CROP[element.identifier]: unsigned(file, element)
                for video in _below(file, [track], whole, _VIDEO)
                for element in elements(file, video.start, video.end or whole)
                if element.identifier in _PIXEL_CROP
            }
            return Crop(**edges)
    return Crop()


def _is_video(file: BinaryIO, track: Element, whole: int) -> bool:
    fields = {element.identifier: element for element in elements(file, track.start, track.end or whole)}
    return _TYPE in fields and _CODEC in fields and unsigned(file, fields[_TYPE]) == _IS_VIDEO


def _below(file: BinaryIO, parents: list[Element], whole: int, *path: int) -> Iterator[Element]:
    for parent in parents:
        for element in elements(file, parent.start, min(parent.end or whole, whole)):
            if element.identifier != path[0]:
                continue
            if len(path) == 1:
                yield element
            else:
                yield from _below(file, [element], whole, *path[1:])
