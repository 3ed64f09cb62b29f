"""Files of detections whose fields are of wrong types or infinite, and small ones that would cost gigabytes."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp2.detections.coco import CocoDetections
from dp2.detections.formats import open_detections
from dp2.detections.stored import StoredDetections
from dp2.errors import DetectionFileError
from dp2.types import Frame

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
FACE = {"kind": "face", "box": [1, 2, 10, 12]}
FRAME = Frame(np.zeros((20, 30, 3), np.uint8), 4)
ODD = ["1e999", "-1e999", "NaN", "Infinity", '"x"', "null", "[]", "{}", "true", "1" * 400]


def lines(path: Path, **fields: str) -> Path:
    """Two lines, of which the second has some fields as they are given."""
    row = {"media": '"p.mp4"', "frame": "4", "time": "0", "width": "30", "height": "20", "detections": "[]", **fields}
    path.write_text(
        '{"schema": "dp2.detections/1"}\n{' + ", ".join(f'"{name}": {text}' for name, text in row.items()) + "}\n"
    )
    return path


def read_lines(path: Path) -> Any:
    return StoredDetections(path).lookup("p.mp4", FRAME, ["face"])


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("field", ["frame", "time", "width", "height"])
def test_number_that_is_none_is_named_with_line_and_field(tmp_path: Path, field: str, value: str) -> None:
    path = lines(tmp_path / "d.jsonl", **{field: value})
    with pytest.raises(DetectionFileError, match=rf'd\.jsonl.*line 2.*"{field}" is ') as caught:
        read_lines(path)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["1", "null", "[]", "{}"])
def test_medium_that_is_no_text_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(DetectionFileError, match=r'line 2.*"media" is '):
        read_lines(lines(tmp_path / "d.jsonl", media=value))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("box", [*ODD, "[1, 2, 3]", "[1, 2, 3, 1e999]", "[1, 2, 3, NaN]", "[1, 2, 3, true]", "[1, 2, 1e30, 9]"]),
        ("score", ODD),
        ("keypoints", ['"x"', "[1]", "[[1, 2]]", "[[1, 2, NaN]]", "[[1, 2, 1e999]]", "7", "{}"]),
        ("track", ODD),
        ("origin", ['"guessed"', "null", "7", "[]", "{}"]),
        ("mask", ODD),
        ("surface", [*ODD, '{"size": [2, 2, 1e999], "zlib": ""}', '{"size": [2, 9999999, 9], "zlib": ""}']),
        ("steady", ODD),
    ],
)
def test_field_of_a_detection_is_named_with_line_and_row(tmp_path: Path, field: str, values: list[str]) -> None:
    for value in values:
        rows = f'[{json.dumps(FACE)}, {{"kind": "face", "box": [1, 2, 3, 4], "{field}": {value}}}]'
        path = lines(tmp_path / "d.jsonl", detections=rows)
        with pytest.raises(DetectionFileError, match=rf'd\.jsonl.*line 2\): detection 2.*"{field}"') as caught:
            read_lines(path)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (field, value)
        for field in ("frame", "time", "width", "height", "id", "file_name")
        for value in ODD
        if (field, value) not in (("file_name", '"x"'), ("id", ODD[-1]))
    ],
)
def test_number_of_a_coco_image_is_named(tmp_path: Path, field: str, value: str) -> None:
    row = {"id": "1", "file_name": '"p.mp4"', "frame": "4", field: value}
    text = ", ".join(f'"{name}": {content}' for name, content in row.items())
    (tmp_path / "c.json").write_text(f'{{"images": [{{{text}}}], "annotations": [], "categories": []}}')
    with pytest.raises(DetectionFileError, match=rf"c\.json.*{field}"):
        CocoDetections(tmp_path / "c.json").lookup("p.mp4", FRAME, ["face"])


@pytest.mark.parametrize(("case", "field"), [("timeinf.jsonl", "time"), ("c_frameinf.json", "frame")])
def test_cases_are_named_with_their_field(case: str, field: str) -> None:
    if not CASES.is_dir():
        pytest.skip("../shared/cases is not there")
    with pytest.raises(DetectionFileError, match=rf'{case}.*"{field}" is inf') as caught:
        open_detections(CASES / case).lookup("city.jpg", Frame(FRAME.image), ["face"])
    assert field == "frame" or "line 2" in str(caught.value)


HIGH, WIDE = 1080, 1920


def mask(counts: Any = (HIGH * WIDE,)) -> dict[str, Any]:
    return {"size": [HIGH, WIDE], "counts": counts if isinstance(counts, str) else list(counts)}


def surface(side: int) -> dict[str, Any]:
    packed = zlib.compress(bytes(4 * 16 * side * side), 9)
    return {"size": [16, side, side], "zlib": base64.b64encode(packed).decode()}


def coco(rows: list[dict[str, Any]]) -> dict[str, Any]:
    annotations = [{"id": index, "image_id": 1, "category_id": 1, **row} for index, row in enumerate(rows)]
    images, categories = [{"id": 1, "file_name": "p.mp4"}], [{"id": 1, "name": "person"}]
    return {"images": images, "annotations": annotations, "categories": categories}


BOX = {"bbox": [1, 2, 9, 9]}
POLYGON = [[0, 0, WIDE, 0, WIDE, HIGH, 0, HIGH]]
BOMBS: dict[str, Callable[[], Any]] = {
    "masks.jsonl": lambda: [{**FACE, "mask": mask()}] * 2_000,
    "one mask among boxes.jsonl": lambda: [{**FACE, "mask": mask()}, *[FACE] * 4_000],
    "boxes.jsonl": lambda: [FACE] * 20_000,
    "run lengths.jsonl": lambda: [{**FACE, "mask": mask([0] * 4_000_000)}],
    "surfaces.jsonl": lambda: [{**FACE, "surface": surface(500)}] * 200,
    "surface that goes on.jsonl": lambda: [
        {**FACE, "surface": {**surface(8), "zlib": base64.b64encode(zlib.compress(bytes(1 << 30), 9)).decode()}}
    ],
    "keypoints.jsonl": lambda: [{**FACE, "keypoints": [[1, 2, 1]] * 300_000}, *[FACE] * 2_000],
    "lists.jsonl": lambda: [[]] * 12_000_000,
    "masks.json": lambda: coco([{**BOX, "segmentation": mask()}] * 2_000),
    "polygons.json": lambda: coco([{**BOX, "segmentation": POLYGON}] * 2_000),
    "polygons of one.json": lambda: coco([{**BOX, "segmentation": POLYGON * 100_000}]),
    "corners.json": lambda: coco([{**BOX, "segmentation": [[1, 2, 9e4, 9e4] * 200_000]}]),
    "compressed run lengths.json": lambda: coco([{**BOX, "segmentation": mask("1" * 8_000_000)}]),
    "boxes.json": lambda: coco([BOX] * 20_000),
    "keypoints.json": lambda: coco([{**BOX, "keypoints": [1, 2, 1] * 300_000}, *[BOX] * 2_000]),
}
SETUP = """
import numpy as np
from pathlib import Path
from dp2.detections.formats import open_detections
from dp2.types import Frame
FRAME = Frame(np.zeros((1080, 1920, 3), np.uint8))
def work(name): open_detections(Path(name)).lookup("p.mp4", FRAME, ["face"])
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, verdicts: Callable[..., dict[str, str]]) -> dict[str, str]:
    """What the readers say of each bomb, in one child with 1.5 GB."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        content = make() if name.endswith(".json") else {"media": "p.mp4", "frame": 0, "detections": make()}
        (folder / name).write_text(json.dumps(content))
    return verdicts(SETUP, [str(folder / name) for name in BOMBS], memory=3 << 29)


@pytest.mark.parametrize("name", BOMBS)
def test_small_file_that_asks_for_gigabytes_is_refused(told: dict[str, str], name: str) -> None:
    (text,) = [text for path, text in told.items() if Path(path).name == name] or ["missing"]
    assert text.startswith("DetectionFileError: "), text
    assert name in text
    assert len(text) < 500


def test_a_crowd_is_no_bomb(tmp_path: Path) -> None:
    rows = json.dumps([{**FACE, "box": [x, 1, x + 5, 9], "keypoints": [[1, 2, 1]] * 17} for x in range(3_000)])
    (faces,) = read_lines(lines(tmp_path / "d.jsonl", detections=rows))
    assert len(faces) == 3_000
    whole = {"size": [20, 30], "counts": [600]}
    rows = json.dumps([{**FACE, "mask": whole} for _ in range(500)])
    (faces,) = read_lines(lines(tmp_path / "d.jsonl", detections=rows))
    assert faces.masks.shape == (500, 20, 30)
