"""What a folder of frames knows about the video it was made of: names, exact times, and how to write a video again.

Written as `frames.json` beside the frames. Names and places of the source are not in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from dp2.errors import UnreadableMedia
from dp2.media.video_info import Colour, VideoInfo

MANIFEST = "frames.json"
SCHEMA = "dp2.frames/1"
# A manifest is untrusted: its names must not lead out of the folder, nor to hidden files.
_NAME = re.compile(r"\w[\w.-]*\.png", re.ASCII)
_LARGEST = 65_535  # pixels a side
_NUMBER = re.compile(r"-?\d{1,20}(/\d{1,20}|\.\d{1,20})?", re.ASCII)  # no exponent: 1e999999999 takes hours


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One frame.

    Attributes:
        name: of its file in the folder.
        time: exact presentation time in seconds.
        duration: exact display time in seconds, or None.
    """

    name: str
    time: Fraction
    duration: Fraction | None


@dataclass(frozen=True, slots=True)
class FrameManifest:
    """The frames of one video, in order, with what a sink needs to write it again.

    Attributes:
        info: size, rate, time base, pixel aspect and colour; its path is the folder.
        frames: with growing times.
    """

    info: VideoInfo
    frames: tuple[FrameEntry, ...]

    def at_rate(self, rate: Fraction) -> FrameManifest:
        """The same frames, shown one after the other at a constant rate."""
        frames = tuple(replace(f, time=i / rate, duration=1 / rate) for i, f in enumerate(self.frames))
        duration = len(frames) / rate
        return FrameManifest(
            replace(self.info, average_rate=rate, time_base=1 / rate, duration=duration, end=duration), frames
        )

    def dumps(self) -> str:
        """As JSON; fractions as text."""
        info = self.info
        record = {
            "schema": SCHEMA,
            "width": info.width,
            "height": info.height,
            "average_rate": None if info.average_rate is None else str(info.average_rate),
            "time_base": str(info.time_base),
            "pixel_aspect": str(info.pixel_aspect),
            "colour": asdict(info.colour),
            "coded_height": info.coded_height,
            "pixel_format": info.pixel_format,
        }
        lines = [json.dumps({"name": f.name, "time": str(f.time), "duration": _text(f.duration)}) for f in self.frames]
        body = ",\n".join(f"  {line}" for line in lines)
        return f'{json.dumps(record, indent=1)[:-2]},\n "frames": [\n{body}\n ]\n}}\n'


def is_frame_folder(path: Path) -> bool:
    """Whether a folder holds the frames of one video, by its manifest."""
    return (path / MANIFEST).is_file()


def read_manifest(folder: Path) -> FrameManifest:
    """The manifest of a folder.

    Raises:
        UnreadableMedia: there is none, or it is not one that can be trusted with names, sizes and times.
    """
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableMedia(
            f"{folder}: has no {MANIFEST} that can be read; make the folder with `dp2 frames split`."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UnreadableMedia(f"{path}: is damaged ({error}); split the video again.") from error
    try:
        return _manifest(folder, record)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError, OverflowError) as error:
        raise UnreadableMedia(f"{path}: is not a manifest of frames ({error}); split the video again.") from error


def _manifest(folder: Path, record: Mapping[str, Any]) -> FrameManifest:
    if record["schema"] != SCHEMA:
        raise ValueError(f"schema {record['schema']!r} is not {SCHEMA}")
    frames = tuple(_entry(entry) for entry in record["frames"])
    _check(frames)
    last = frames[-1]
    end = None if last.duration is None else last.time + last.duration
    rate = record["average_rate"]
    info = VideoInfo(
        path=folder,
        width=_side(record["width"]),
        height=_side(record["height"]),
        average_rate=None if rate is None else _positive(rate),
        time_base=_positive(record["time_base"]),
        frames=len(frames),
        duration=end,
        end=end,
        pixel_aspect=_positive(record["pixel_aspect"]),
        colour=Colour(**{name: int(record["colour"][name]) for name in ("matrix", "range", "primaries", "transfer")}),
        coded_height=int(record["coded_height"]),
        pixel_format=str(record["pixel_format"]),
    )
    return FrameManifest(info, frames)


def _entry(entry: Mapping[str, Any]) -> FrameEntry:
    if not isinstance(entry["name"], str) or not _NAME.fullmatch(entry["name"]):
        raise ValueError(f"{entry['name']!r:.80} is no name of a frame")
    duration = entry["duration"]
    return FrameEntry(entry["name"], _number(entry["time"]), None if duration is None else _positive(duration))


def _check(frames: tuple[FrameEntry, ...]) -> None:
    if not frames:
        raise ValueError("it names no frame")
    for entry, following in pairwise(frames):
        if following.time <= entry.time:
            raise ValueError(f"{following.name} is not later than {entry.name}")
    if len(set(_folded(frames))) != len(frames):
        raise ValueError("a name stands in it twice")


def _folded(frames: Iterable[FrameEntry]) -> tuple[str, ...]:
    return tuple(entry.name.lower() for entry in frames)  # some file systems do not tell cases apart


def _side(value: Any) -> int:
    if not isinstance(value, int) or not 0 < value <= _LARGEST:
        raise ValueError(f"{value!r} is no side of a frame")
    return value


def _number(value: Any) -> Fraction:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise ValueError(f"{value!r:.80} is no number as text, e.g. 1001/30000")
    return Fraction(value)


def _positive(value: Any) -> Fraction:
    number = _number(value)
    if number <= 0:
        raise ValueError(f"{value} must be above 0")
    return number


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)
