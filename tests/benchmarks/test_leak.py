"""The scoring of benchmarks/leak.py on pictures whose truth is known."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def leak() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leak", BENCHMARKS / "leak.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["leak"] = module
    spec.loader.exec_module(module)
    return module


FACE = np.array([20, 40, 60, 120], np.float32)  # its central half: x 30-50, y 60-100


@pytest.mark.parametrize(
    ("covered", "leaks"),
    [
        ((30, 60, 50, 100), False),
        ((30, 60, 50, 92), False),  # 80 %
        ((30, 60, 50, 91), True),
        ((20, 40, 40, 120), True),  # the left half of the box
        ((0, 0, 20, 160), True),
    ],
)
def test_face_leaks_when_less_than_four_fifths_of_its_central_half_changed(
    leak: ModuleType, covered: tuple[int, int, int, int], leaks: bool
) -> None:
    before = np.full((160, 100, 3), 90, np.uint8)
    after = before.copy()
    x0, y0, x1, y1 = covered
    after[y0:y1, x0:x1, 1] += 1
    score = leak.Score()
    score.add(before, after, FACE[None])
    assert (score.faces.sum(), score.leaked.sum()) == (1, leaks)
    assert score.areas == [(x1 - x0) * (y1 - y0) / (160 * 100)]


def test_faces_are_counted_by_their_longer_side_and_tiny_ones_not_at_all(leak: ModuleType) -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    boxes = np.array([[0, 0, 8, 11], [0, 0, 8, 12], [0, 0, 24, 10], [0, 0, 50, 95], [0, 0, 300, 300]], np.float32)
    score = leak.Score()
    score.add(picture, picture, boxes)
    assert score.faces.tolist() == score.leaked.tolist() == [1, 1, 1, 0, 1]


def test_face_at_the_border_is_judged_by_what_is_inside(leak: ModuleType) -> None:
    changed = np.zeros((50, 50), bool)
    changed[:, :10] = True
    assert not leak.leaks(changed, np.array([-20, 0, 20, 40], np.float32))
    assert leak.leaks(~changed, np.array([-20, 0, 20, 40], np.float32))


def test_labels_of_coco_wholebody_and_voc_are_read(leak: ModuleType, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((30, 40, 3), np.uint8))
    rows = [
        {"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 1, "face_box": [1, 2, 10, 12], "face_valid": True},
        {"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 1, "face_box": [0, 0, 0, 0], "face_valid": False},
    ]
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "people.json").write_text(json.dumps(coco))
    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>24</ymax></bndbox>"
    (tmp_path / "b.xml").write_text(
        f"<annotation><filename>b.png</filename><object><name>face</name>{box}</object></annotation>"
    )
    found = {photo.name: photo.faces.tolist() for photo in leak.annotated(tmp_path)}
    assert found == {"a.png": [[1, 2, 11, 14]], "b.png": [[3, 4, 20, 24]]}
