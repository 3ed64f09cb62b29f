"""Frames in which every person of a photo or video can be pointed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pil

from dp2.batch.files import fit
from dp2.errors import UsageError
from dp2.result import Result
from dp2.types import Detections

_SIDE = 1600
_FRAMES = 24
_LARGER = 1.5  # a later look at a track replaces an earlier one if it shows this much more of it


@dataclass
class _Shown:
    """A frame that is on disk, and what can be pointed at in it."""

    index: int
    time: float
    width: int
    height: int
    boxes: list[dict[str, Any]]
    path: Path


@dataclass
class Gallery:
    """Looks at results as they come; `finish` says which frames to show.

    Of a photo that is the photo. Of a video it is few frames in which every track appears, each as large as it was
    seen; at most 24 frames, so of a crowd not everybody may be shown: who is not shown cannot be kept.

    Attributes:
        folder: where frames are written, as `frame<n>.jpg`.
        video: whether rows are named by track.
    """

    folder: Path
    video: bool
    _frames: dict[int, _Shown] = field(default_factory=dict)
    _best: dict[str, tuple[float, int]] = field(default_factory=dict)  # id: (area, index of frame)

    def add(self, result: Result) -> None:
        """The next frame."""
        boxes = [box for found in result.detections for box in _boxes(found, self.video)]
        improved = {}
        for box in boxes:
            area = _area(box["box"])
            if box["id"] is not None and area > _LARGER * self._best.get(box["id"], (0.0, 0))[0]:
                improved[box["id"]] = (area, result.frame.index)
        if not improved and self._frames:
            return
        self._best.update(improved)
        self._write(result, boxes)
        needed = {index for _, index in self._best.values()}
        for index in [index for index in self._frames if index not in needed and index != result.frame.index]:
            if len(self._frames) > 1:
                self._frames.pop(index).path.unlink()

    def finish(self) -> list[dict[str, Any]]:
        """The chosen frames in order: index, time in seconds, width, height, `boxes` (id, kind, box, score).

        The n-th lies in `frame<n>.jpg`.
        """
        chosen: list[_Shown] = []
        missing = set(self._best)
        left = dict(self._frames)
        while left and len(chosen) < _FRAMES and (missing or not chosen):
            best = max(left.values(), key=lambda shown: (len(missing & _ids(shown)), -shown.index))
            if missing and not missing & _ids(best):
                break
            chosen.append(left.pop(best.index))
            missing -= _ids(best)
        for shown in left.values():
            shown.path.unlink()
        chosen.sort(key=lambda shown: shown.index)
        for number, shown in enumerate(chosen):
            shown.path.rename(self.folder / f"frame{number}.jpg")
        names = ("index", "time", "width", "height", "boxes")
        return [{name: getattr(shown, name) for name in names} for shown in chosen]

    def _write(self, result: Result, boxes: list[dict[str, Any]]) -> None:
        height, width = result.original.shape[:2]
        index = result.frame.index
        path = self.folder / f"seen{index}.jpg"
        Pil.fromarray(np.ascontiguousarray(fit(result.original, _SIDE))).save(path, "JPEG", quality=88)
        self._frames[index] = _Shown(index, round(float(result.frame.time), 3), width, height, boxes, path)


def parse_id(text: str) -> tuple[str, int, bool]:
    """The kind, number, and whether that is a track's, of an id.

    Raises:
        UsageError: no such id can be.
    """
    kind, _, number = text.rpartition(":")
    tracked = number.startswith("t")
    digits = number[1:] if tracked else number
    if not kind or not digits.isascii() or not digits.isdecimal() or len(digits) > 9:
        raise UsageError(f"{text!r} is nobody's id.")
    return kind, int(digits), tracked


def _boxes(found: Detections, video: bool) -> list[dict[str, Any]]:
    return [
        {
            "id": _id(found, row, video),
            "kind": found.kind,
            "box": [round(float(value), 1) for value in found.boxes[row]],
            "score": round(float(found.scores[row]), 3),
        }
        for row in range(len(found))
    ]


def _id(found: Detections, row: int, video: bool) -> str | None:
    """None for what has no track in a video: it cannot be found again in the next frame."""
    if not video:
        return f"{found.kind}:{row}"
    track = -1 if found.track_ids is None else int(found.track_ids[row])
    return f"{found.kind}:t{track}" if track >= 0 else None


def _ids(shown: _Shown) -> set[str]:
    return {box["id"] for box in shown.boxes if box["id"] is not None}


def _area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
