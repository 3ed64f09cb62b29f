"""What a folder of frames knows about the video it was made of: names, exact times, and how to write a video again.

Written as `frames.json` beside the frames. Names and places of the source are not in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from dp2.errors import UnreadableMedia
from dp2.media.video_info import Colour, Fields, VideoInfo

T = TypeVar("T")
MANIFEST = "frames.json"
SCHEMA = "dp2.frames/1"
# A manifest is untrusted: its names must not lead out of the folder, nor to hidden files.
_NAME = re.compile(r"\w[\w.-]*\.png", re.ASCII)
_PIXEL_FORMAT = re.compile(r"[a-z0-9_]{0,40}", re.ASCII)
_LARGEST = 65_535  # pixels a side
_LARGEST_FILE = 256 << 20  # bytes; some two million frames
_LARGEST_PART = 2**31 - 1
_LONGEST_NAME = 200  # characters; with what dp2 adds it stays within what file systems allow
_LONGEST = 10**8  # seconds
_FASTEST = Fraction(1_000_000)  # frames per second
_MOST_TICKS = 2**60  # of the time base; timestamps have 64 bits
_COLOUR = ("matrix", "range", "primaries", "transfer")
_KINDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
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
        if info.fields is not Fields.NONE:
            record["fields"] = info.fields.value
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
        if path.stat().st_size > _LARGEST_FILE:
            raise UnreadableMedia(f"{path}: is too large for a manifest of frames; split the video again.")
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableMedia(
            f"{folder}: has no {MANIFEST} that can be read; make the folder with `dp2 frames split`."
        ) from error
    except RecursionError as error:
        raise UnreadableMedia(f"{path}: is nested too deeply; split the video again.") from error
    except UnicodeDecodeError as error:
        raise UnreadableMedia(f"{path}: is not UTF-8 text; split the video again.") from error
    except ValueError as error:
        raise UnreadableMedia(f"{path}: is not valid JSON ({error}); split the video again.") from error
    try:
        return _manifest(folder, record)
    except _Malformed as error:
        raise UnreadableMedia(f"{path}: {error}; split the video again.") from error


class _Malformed(Exception):
    """What is wrong with a manifest."""


def _manifest(folder: Path, record: Any) -> FrameManifest:
    if not isinstance(record, dict):
        raise _Malformed(f"must hold one JSON object, not {_kind(record)}")
    if record.get("schema") != SCHEMA:
        raise _Malformed(f"schema must be {SCHEMA!r}, not {_shown(record.get('schema'))}")
    listed = _get(record, "frames", list)
    if not listed:
        raise _Malformed("it names no frame")
    time_base = _ratio(record, "time_base")
    frames = tuple(_entry(entry, f"frame {number}: ") for number, entry in enumerate(listed, 1))
    _check(frames, time_base)
    last = frames[-1]
    end = None if last.duration is None else last.time + last.duration
    colour = _get(record, "colour", dict)
    info = VideoInfo(
        path=folder,
        width=_integer(record, "width", 1, _LARGEST),
        height=_integer(record, "height", 1, _LARGEST),
        average_rate=_rate(record),
        time_base=time_base,
        frames=len(frames),
        duration=end,
        end=end,
        pixel_aspect=_ratio(record, "pixel_aspect"),
        colour=Colour(**{name: _integer(colour, name, 0, 255, "colour: ") for name in _COLOUR}),
        coded_height=_integer(record, "coded_height", 0, _LARGEST),
        pixel_format=_pixel_format(record),
        fields=_fields(record),
    )
    return FrameManifest(info, frames)


def _entry(entry: Any, where: str) -> FrameEntry:
    if not isinstance(entry, dict):
        raise _Malformed(f"{where}must be a JSON object, not {_kind(entry)}")
    name = _get(entry, "name", str, where)
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise _Malformed(f"{where}{_shown(name)} is not the name of a PNG file in this folder")
    duration = None if _given(entry, "duration", where) is None else _number(entry, "duration", where)
    if duration is not None and duration <= 0:
        raise _Malformed(f"{where}duration must be above 0, not {duration}")
    return FrameEntry(name, _number(entry, "time", where), duration)


def _check(frames: tuple[FrameEntry, ...], time_base: Fraction) -> None:
    for entry, following in pairwise(frames):
        if following.time <= entry.time:
            raise _Malformed(f"{following.name} is not later than {entry.name}")
    for entry in frames:
        if max(abs(entry.time), entry.duration or Fraction(0)) > min(Fraction(_LONGEST), _MOST_TICKS * time_base):
            raise _Malformed(f"{entry.name}: its time or duration is too large")
    if len(set(_folded(frames))) != len(frames):
        raise _Malformed("a name stands in it twice")


def _folded(frames: Iterable[FrameEntry]) -> tuple[str, ...]:
    return tuple(entry.name.lower() for entry in frames)  # some file systems do not tell cases apart


def _given(record: Mapping[str, Any], key: str, where: str = "") -> Any:
    if key not in record:
        raise _Malformed(f"{where}{key} is missing")
    return record[key]


def _get(record: Mapping[str, Any], key: str, kind: type[T], where: str = "") -> T:
    value = _given(record, key, where)
    if not isinstance(value, kind):
        raise _Malformed(f"{where}{key} must be {_KINDS[kind]}, not {_kind(value)}")
    return value


def _integer(record: Mapping[str, Any], key: str, least: int, most: int, where: str = "") -> int:
    value = _get(record, key, int, where)
    if isinstance(value, bool) or not least <= value <= most:
        raise _Malformed(f"{where}{key} must be a whole number from {least} to {most}, not {_shown(value)}")
    return value


def _number(record: Mapping[str, Any], key: str, where: str = "") -> Fraction:
    value = _given(record, key, where)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        with suppress(ZeroDivisionError):
            return Fraction(value)
    raise _Malformed(f'{where}{key} must be a number written as text, such as "1001/30000", not {_shown(value)}')


def _ratio(record: Mapping[str, Any], key: str) -> Fraction:
    """A ratio as containers store it: two numbers of 31 bits."""
    number = _number(record, key)
    if number <= 0 or max(number.numerator, number.denominator) > _LARGEST_PART:
        raise _Malformed(f"{key} must be a ratio above 0 of numbers up to {_LARGEST_PART}, not {_shown(record[key])}")
    return number


def _fields(record: Mapping[str, Any]) -> Fields:
    """Manifests of progressive videos, and older ones, do not say."""
    value = record.get("fields", Fields.NONE.value)
    known = {fields.value: fields for fields in Fields}
    if not isinstance(value, str) or value not in known:
        raise _Malformed(f"fields must be one of {', '.join(known)}, not {_shown(value)}")
    return known[value]


def _rate(record: Mapping[str, Any]) -> Fraction | None:
    if _given(record, "average_rate") is None:
        return None
    rate = _ratio(record, "average_rate")
    if not 1 / _FASTEST <= rate <= _FASTEST:
        raise _Malformed(f"average_rate must lie between 1/{_FASTEST} and {_FASTEST}, not {rate}")
    return rate


def _pixel_format(record: Mapping[str, Any]) -> str:
    name = _get(record, "pixel_format", str)
    if not _PIXEL_FORMAT.fullmatch(name):
        raise _Malformed(f"pixel_format must be a name as FFmpeg gives it, not {_shown(name)}")
    return name


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _shown(value: Any) -> str:
    """A value for a message: short, on one line, and without building the text of a huge one."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "a huge number"
    return f"{value!r:.60}" if isinstance(value, (str, int, float, type(None))) else _kind(value)


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)
