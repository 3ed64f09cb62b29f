"""Files of detections that are hostile or damaged: one clear error, never a crash and never a face taken for nobody."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp2.detections.records import decode_mask
from dp2.detections.sealed import open_sealed, seal
from dp2.detections.stored import StoredDetections
from dp2.errors import DetectionFileError
from dp2.types import Frame

FRAME = Frame(np.zeros((20, 30, 3), np.uint8), index=4, time=Fraction(4, 25))
FACE = {"kind": "face", "box": [1, 2, 10, 12]}


def stored(path: Path, *lines: object) -> StoredDetections:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return StoredDetections(path)


def line(**changes: Any) -> dict[str, Any]:
    return {"media": "p.mp4", "frame": 4, "detections": [FACE], **changes}


@pytest.mark.parametrize(
    "text",
    [
        '{"media": "p", "frame": 1e999, "detections": []}',
        '{"media": "p", "frame": 0.7, "detections": []}',
        '{"media": "p", "frame": true, "detections": []}',
        '{"media": "p", "frame": 4}',
        '{"media": "p", "frame": 4, "detections": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=["infinite", "broken", "boolean", "no-detections", "deep"],
)
def test_line_that_is_no_frame_is_refused_when_the_file_is_opened(tmp_path: Path, text: str) -> None:
    with pytest.raises(DetectionFileError, match="line 1"):
        stored(tmp_path / "d.jsonl", text)


@pytest.mark.parametrize(
    "changes",
    [
        {"detections": None},
        {"detections": {"kind": "face"}},
        {"detections": [{**FACE, "box": [0, 0, 10**400, 9]}]},
        {"detections": [{**FACE, "track": 10**30}]},
        {"detections": [{**FACE, "score": 5}]},
        {"detections": [{**FACE, "score": None}]},
        {"detections": [{**FACE, "kind": "\x1b[31m"}]},
        {"detections": [{**FACE, "kind": ""}]},
        {"time": "soon"},
    ],
)
def test_hostile_value_is_named_with_its_frame(tmp_path: Path, changes: dict[str, Any]) -> None:
    read = stored(tmp_path / "d.jsonl", line(**changes))
    with pytest.raises(DetectionFileError, match=r"d\.jsonl, frame 4"):
        read.lookup("p.mp4", FRAME, ["face"])


def test_mask_whose_run_lengths_wrap_round_is_refused() -> None:
    huge = 2**63 - 1  # numpy crashes the whole process on these
    with pytest.raises(ValueError, match="does not fit"):
        decode_mask({"size": [20, 30], "counts": [huge, huge, 2 + 600]}, 20, 30)


def test_second_line_for_a_frame_does_not_replace_the_first(tmp_path: Path) -> None:
    with pytest.raises(DetectionFileError, match="a second line for frame 4"):
        stored(tmp_path / "d.jsonl", line(), line(detections=[]))


def test_detections_of_another_time_are_not_put_on_this_frame(tmp_path: Path) -> None:
    read = stored(tmp_path / "d.jsonl", line(time=5.16))
    with pytest.raises(DetectionFileError, match=r"5\.160 s there, 0\.160 s in the input"):
        read.lookup("p.mp4", FRAME, ["face"])
    (faces,) = stored(tmp_path / "e.jsonl", line(time=0.1604)).lookup("p.mp4", FRAME, ["face"])
    assert len(faces) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("10", "11"),
        lambda text: "".join(text.splitlines(keepends=True)[:-1]),
        lambda text: text + text,
    ],
    ids=["empty", "cut", "changed", "unsealed", "doubled"],
)
def test_cached_detections_are_used_only_as_they_were_sealed(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "c.jsonl"
    stored(path, line()).close()
    seal(path)
    whole = open_sealed(path)
    assert whole is not None
    assert len(whole.lookup("p.mp4", FRAME, ["face"])[0]) == 1
    path.write_text(damage(path.read_text()))
    assert open_sealed(path) is None
    assert open_sealed(tmp_path) is None
    assert open_sealed(tmp_path / "absent") is None
