"""Checks of what files of detections say, field by field; each error names the field and what it holds instead.

The files are untrusted: types are wrong, numbers are infinite, and small files ask for gigabytes.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from dp2.errors import DetectionFileError
from dp2.types import Origin

MOST_ROWS = 5_000  # detections of a frame; every pair of them is compared somewhere
MOST_KEYPOINTS = 1_000
_MOST_CONTAINERS = 10_000_000  # lists and objects of a JSON text: two bytes there, sixty in memory
_FARTHEST = 1e7  # pixels
_MASK_BYTES, _FEWEST_MASKS = 1 << 30, 64  # of a frame's masks; so many are always read
_SURFACE_BYTES = 1 << 29  # of a frame's surfaces
_LARGEST_SURFACE = 1 << 22  # numbers
_LONGEST_KIND = 100
_ORIGINS = tuple(origin.name.lower() for origin in Origin)


def parse_json(text: bytes, where: str) -> Any:
    """A JSON value.

    Args:
        text: UTF-8.
        where: file, and line if it is one of many, for messages.

    Raises:
        DetectionFileError: it is no JSON, nested too deeply, or of too many parts.
    """
    if text.count(b"[") + text.count(b"{") > _MOST_CONTAINERS:
        raise DetectionFileError(f"{where}: has more parts than any file of detections.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise DetectionFileError(f"{where}: is not JSON, or malformed ({reason[:200]}).") from error


def whole_number(row: Mapping[str, Any], name: str, where: str, default: int | None = None) -> int:
    """A field with a whole number from 0 up; 3.0 is one, 0.7 and true are not.

    Raises:
        DetectionFileError: it is absent without a default, or is none.
    """
    value = row.get(name, default)
    if not _is_number(value) or not 0 <= value < 1 << 53 or value != int(value):
        raise _wrong(where, name, value, "a whole number", absent=name not in row)
    return int(value)


def finite_number(row: Mapping[str, Any], name: str, where: str, default: float) -> float:
    """A field with a finite number.

    Raises:
        DetectionFileError: it is none.
    """
    value = row.get(name, default)
    if not _is_number(value) or not _fits(value):
        raise _wrong(where, name, value, "a finite number")
    return float(value)


def text_of(row: Mapping[str, Any], name: str, where: str) -> str:
    """A field with a text.

    Raises:
        DetectionFileError: it is absent or none.
    """
    value = row.get(name)
    if not isinstance(value, str):
        raise _wrong(where, name, value, "a text", absent=name not in row)
    return value


def check_record(record: Any, where: str) -> None:
    """Make sure that a detection is one, as `dp2.detections.records` describes it.

    Args:
        record: of a file.
        where: file, line and number of the detection, for messages.

    Raises:
        DetectionFileError: a field is absent, of a wrong type, not finite or out of bounds.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("kind"), str) or "box" not in record:
        raise DetectionFileError(f'{where} needs at least "kind" and "box"; got {shown(record)}.')
    kind = record["kind"]
    if not kind.isprintable() or not kind.strip() or len(kind) > _LONGEST_KIND:
        raise DetectionFileError(f"{where}: {shown(kind)} is no name of a kind.")
    _check_place(record, where)
    track = record.get("track", -1)
    if type(track) is not int or not -1 <= track < 1 << 63:
        raise _wrong(where, "track", track, "a whole number")
    if record.get("origin", "detected") not in _ORIGINS:
        raise _wrong(where, "origin", record["origin"], f"one of {', '.join(_ORIGINS)}")
    if "mask" in record:
        mask = record["mask"]
        if not isinstance(mask, Mapping) or not isinstance(mask.get("counts"), list) or "size" not in mask:
            raise _wrong(where, "mask", mask, '"size" and "counts"')
    if "surface" in record:
        _check_surface(record["surface"], where)
    if "steady" in record:
        steady = record["steady"]
        if not isinstance(steady, Mapping) or "box" not in steady:
            raise _wrong(where, "steady", steady, 'at least a "box"')
        _check_place(steady, f'{where}, "steady"')


def check_amount(records: Sequence[Mapping[str, Any]], height: int, width: int, where: str) -> None:
    """Make sure that a frame's checked detections fit into memory: every mask is as large as the frame.

    Raises:
        DetectionFileError: they do not.
    """
    masked = {record["kind"] for record in records if "mask" in record}
    check_masks(sum(record["kind"] in masked for record in records), height, width, where)
    surfaces = sum(4 * math.prod(record["surface"]["size"]) for record in records if "surface" in record)
    if surfaces > _SURFACE_BYTES:
        raise DetectionFileError(f'{where}: "surface": {surfaces >> 20} MB of surfaces in one frame.')


def check_masks(count: int, height: int, width: int, where: str) -> None:
    """As `check_amount`, for so many masks.

    Raises:
        DetectionFileError: they are too many for frames of this size.
    """
    if count > max(_FEWEST_MASKS, _MASK_BYTES // max(height * width, 1)):
        raise DetectionFileError(f'{where}: "mask": {count} masks of {width}x{height} in one frame.')


def check_count(records: Any, where: str) -> None:
    """Make sure that a frame has a list of detections, and not more than can be worked on.

    Raises:
        DetectionFileError: it has not.
    """
    if not isinstance(records, list):
        raise DetectionFileError(f'{where}: "detections" must be a list; for nobody write [].')
    if len(records) > MOST_ROWS:
        raise DetectionFileError(f'{where}: "detections": {len(records)} in one frame; at most {MOST_ROWS} are read.')


def shown(value: Any) -> str:
    """The beginning of a value."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 2, 60, 60, 40
    return short.repr(value)


def _check_place(record: Mapping[str, Any], where: str) -> None:
    """Box, score and keypoints."""
    if not _is_numbers(record["box"], 4):
        raise _wrong(where, "box", record["box"], "four finite numbers")
    score = record.get("score", 1.0)
    if not _is_number(score) or not 0 <= score <= 1:
        raise DetectionFileError(f'{where}: the "score" {shown(score)} does not lie in 0 to 1.')
    points = record.get("keypoints")
    if points is not None and not (
        isinstance(points, list) and len(points) <= MOST_KEYPOINTS and all(_is_numbers(point, 3) for point in points)
    ):
        raise _wrong(where, "keypoints", points, f"at most {MOST_KEYPOINTS} of three finite numbers")


def _check_surface(surface: Any, where: str) -> None:
    if not isinstance(surface, Mapping) or not isinstance(surface.get("zlib"), str):
        raise _wrong(where, "surface", surface, '"size" and "zlib"')
    size = surface.get("size")
    if not (
        isinstance(size, list)
        and len(size) == 3
        and all(type(side) is int and 0 < side <= 4096 for side in size)
        and math.prod(size) <= _LARGEST_SURFACE
    ):
        raise _wrong(where, "surface", size, "a size of three whole numbers")
    if "box" in surface and not _is_numbers(surface["box"], 4):
        raise _wrong(where, "surface", surface["box"], "a box of four finite numbers")


def _is_numbers(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(_is_number(v) and _fits(v) for v in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fits(value: float) -> bool:
    return -_FARTHEST <= value <= _FARTHEST  # false for what is not a number


def _wrong(where: str, name: str, value: Any, wanted: str, *, absent: bool = False) -> DetectionFileError:
    if absent:
        return DetectionFileError(f'{where}: "{name}" is missing, where {wanted} is expected.')
    return DetectionFileError(f'{where} is malformed: "{name}" is {shown(value)}, where {wanted} is expected.')
