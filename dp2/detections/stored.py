"""Files of detections (JSON lines, see `records`): written while a run goes, read in place of a detector, cached."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from dp2.detections.records import from_records, to_records
from dp2.errors import DetectionFileError
from dp2.types import Detections, Frame

SCHEMA = "dp2.detections/1"

# How far the time of a line may lie from its frame's, in seconds: others round it, or count by a rounded frame rate.
_TIME_SLACK, _TIME_DRIFT = 0.002, 1e-5


class DetectionWriter:
    """Appends frames to an open text file."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._file.write(json.dumps({"schema": SCHEMA}) + "\n")

    def write(self, media: str, frame: Frame, detections: Sequence[Detections]) -> None:
        """One line for one frame."""
        height, width = frame.image.shape[:2]
        line = {
            "media": media,
            "frame": frame.index,
            "time": round(float(frame.time), 6),
            "width": width,
            "height": height,
            "detections": to_records(detections),
        }
        self._file.write(json.dumps(line) + "\n")

    def finish(self) -> None:
        """Every line is complete already."""


class StoredDetections:
    """A file of detections, looked up by medium and frame.

    Only the places of the lines are held in memory; a line is read when its frame comes.

    Raises:
        DetectionFileError: the file is not of the schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[tuple[str, int], int] = {}
        self.kinds: set[str] = set()  # of what the file holds
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DetectionFileError(f"{path}: cannot be read ({error.strerror}).") from error
        self._index()

    def media(self) -> list[str]:
        """Names of the media in the file, in order."""
        return list(dict.fromkeys(medium for medium, _ in self._lines))

    def resolve(self, path: Path) -> str:
        """The name under which the file knows an input: its path, else its bare name if that is unique.

        Raises:
            DetectionFileError: it does not know it, or several of that name.
        """
        return medium_of(path, self.media(), self.path)

    def lookup(self, medium: str, frame: Frame, kinds: Sequence[str]) -> tuple[Detections, ...]:
        """The detections of one frame.

        Raises:
            DetectionFileError: no line for the frame (an empty list must be said), another frame size, malformed.
        """
        offset = self._lines.get((medium, frame.index))
        if offset is None:
            raise DetectionFileError(
                f'{self.path}: no line for frame {frame.index} of {medium}; for nobody there write "detections": [].'
            )
        self._file.seek(offset)
        where = f"{self.path}, frame {frame.index} of {medium}"
        try:
            record = json.loads(self._file.readline())
        except ValueError as error:
            raise DetectionFileError(f"{where}: the line is malformed ({error}).") from error
        check_place(record, frame, where)
        height, width = frame.image.shape[:2]
        return from_records(record.get("detections"), kinds, height, width, where)

    def close(self) -> None:
        self._file.close()

    def _index(self) -> None:
        offset = 0
        for number, line in enumerate(self._file, 1):
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if "schema" in record:
                    self._check_schema(record["schema"])
                    continue
                key = str(record["media"]), _whole_number(record["frame"])
                rows = record["detections"]  # a line without them is not taken for nobody there
                if isinstance(rows, list):  # what is malformed is named with its frame, when that comes
                    self.kinds.update(str(row["kind"]) for row in rows if isinstance(row, dict) and "kind" in row)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                raise DetectionFileError(
                    f'{self.path}, line {number}: not a frame line ({{"media", "frame", "detections"}}).'
                ) from error
            if key in self._lines:
                raise DetectionFileError(
                    f"{self.path}, line {number}: a second line for frame {key[1]} of {key[0]}; keep one of them."
                )
            self._lines[key] = start

    def _check_schema(self, schema: Any) -> None:
        if schema != SCHEMA:
            raise DetectionFileError(f"{self.path}: schema {schema!r} is not {SCHEMA}.")


def medium_of(path: Path, names: Sequence[str], file: Path) -> str:
    """The name under which a file of detections knows an input: its path, else its bare name if that is unique.

    Args:
        path: the input.
        names: those of the file.
        file: for messages.

    Raises:
        DetectionFileError: it does not know it, or several of that name.
    """
    if str(path) in names:
        return str(path)
    same = [name for name in names if Path(name).name == path.name]
    if len(same) == 1:
        return same[0]
    what = f"several media are called {path.name}" if same else f"there are no detections for {path.name}"
    raise DetectionFileError(f"{file}: {what}; it knows {', '.join(names[:5]) or 'none'}.")


def check_place(record: Mapping[str, Any], frame: Frame, where: str) -> None:
    """Make sure that what a file says of a frame's size and time is the input's.

    Args:
        record: may hold width, height, time.
        frame: of the input.
        where: file and frame, for messages.

    Raises:
        DetectionFileError: it is not, or is malformed.
    """
    height, width = frame.image.shape[:2]
    try:
        size = (record.get("width", width), record.get("height", height))
        time = float(record.get("time", frame.time))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DetectionFileError(f"{where}: the line is malformed ({error}).") from error
    if size != (width, height):
        raise DetectionFileError(f"{where}: {size[0]}x{size[1]} there, {width}x{height} in the input.")
    if not abs(time - float(frame.time)) <= _TIME_SLACK + _TIME_DRIFT * abs(time):
        raise DetectionFileError(
            f"{where}: {time:.3f} s there, {float(frame.time):.3f} s in the input; "
            "use the --start-time, --fps and --salvage that it was made with."
        )


def cache_key(path: Path, settings: dict[str, Any]) -> str:
    """SHA-256 over a file's content and every setting that decides its detections."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    canonical = json.dumps({"schema": SCHEMA, "content": content, **settings}, sort_keys=True, default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def cache_folder() -> Path:
    """Where cached detections lie: `DP2_HOME/detections`, by default below the user's cache folder."""
    home = os.environ.get("DP2_HOME")
    root = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dp2"
    return root / "detections"


def _whole_number(value: Any) -> int:
    """A frame's number. Raises ValueError for anything that is not one: 0.7 must not pass for 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError(f"{value!r} is no frame number")
    return int(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
