"""What a set made by `dp2 dataset build` says of each crop: the JSON beside its picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dp2.errors import DatasetError

VERSION = 1
_LONGEST_SIDE = 1 << 14
_FARTHEST = 4 * _LONGEST_SIDE
_MOST_PIXELS = 1 << 26  # of a window: what lies outside the photo is filled when it is read


@dataclass(frozen=True, slots=True)
class CropRecord:
    """One crop. All coordinates are pixels of the stored picture, x before y.

    Attributes:
        kind: "face" or "person".
        group: the first folder below the input, or the input's own name.
        source: which file it comes from: a hash of its name, or the name if that was asked for.
        time: of the frame in its video, in seconds; None for photos.
        width, height: of the stored picture.
        window: x0 y0 x1 y1 of the crop as it was meant; what of it lies outside the stored picture lay outside the
            photo, and nothing was made up for it.
        box: x0 y0 x1 y1 of the face or body.
        keypoints: (x, y, confidence) each; of faces 5: eyes, nose, corners of the mouth, as seen from the left; or
            None.
        score: of the detector, in [0, 1].
        scale: stored pixels per pixel of the photo; at most 1.
        sharpness: see `dp2.data.builder.quality`; larger is sharper.
    """

    kind: str
    group: str
    source: str
    time: float | None
    width: int
    height: int
    window: tuple[float, float, float, float]
    box: tuple[float, float, float, float]
    keypoints: tuple[tuple[float, float, float], ...] | None
    score: float
    scale: float
    sharpness: float

    def to_json(self) -> str:
        """One line, keys in order, numbers to a hundredth of a pixel."""
        return json.dumps({"version": VERSION, **_rounded(asdict(self))}, ensure_ascii=False)


def parse_record(text: str | bytes, where: str) -> CropRecord:
    """The record of `CropRecord.to_json`. Keys that it does not know are passed over.

    Args:
        text: JSON.
        where: the file, for errors.

    Raises:
        DatasetError: it is not such a record, or of a later version.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not an object")
        if values.get("version") != VERSION:
            raise DatasetError(f"{where}: is of version {values.get('version')}; this dp2 reads version {VERSION}.")
        return _record(values)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{where}: is no record of a crop ({error}); build the set again.") from error


def _record(values: Mapping[str, Any]) -> CropRecord:
    points = values["keypoints"]
    time = values["time"]
    return CropRecord(
        kind=_text(values["kind"]),
        group=_text(values["group"]),
        source=_text(values["source"]),
        time=None if time is None else _number(time),
        width=_side(values["width"]),
        height=_side(values["height"]),
        window=_window(values["window"]),
        box=_box(values["box"]),
        keypoints=None if points is None else tuple(_point(point) for point in points),
        score=_number(values["score"]),
        scale=_number(values["scale"]),
        sharpness=_number(values["sharpness"]),
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _side(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LONGEST_SIDE:
        raise ValueError(f"{value!r} is no length of a side")
    return value


def _box(value: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (_place(part) for part in value)
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"{value!r} is no box")
    return x0, y0, x1, y1


def _window(value: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _box(value)
    if (x1 - x0) * (y1 - y0) > _MOST_PIXELS:
        raise ValueError(f"{value!r} is no window")
    return x0, y0, x1, y1


def _point(value: Any) -> tuple[float, float, float]:
    x, y, confidence = value
    return _place(x), _place(y), _number(confidence)


def _place(value: Any) -> float:
    number = _number(value)
    if abs(number) > _FARTHEST:
        raise ValueError(f"{value!r} is no place in a picture")
    return number


def _rounded(values: Any) -> Any:
    if isinstance(values, float):
        return round(values, 4 if abs(values) < 10 else 2)
    if isinstance(values, dict):
        return {key: _rounded(value) for key, value in values.items()}
    return [_rounded(value) for value in values] if isinstance(values, (tuple, list)) else values
