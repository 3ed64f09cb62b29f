"""COCO's JSON: read from other programs, written and read back, and refused where it is hostile."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dp2.cli.commands.anonymize import anonymize
from dp2.detections.coco import CocoDetections, CocoWriter
from dp2.detections.coco_shapes import decode_counts
from dp2.detections.formats import open_detections
from dp2.detections.stored import StoredDetections
from dp2.errors import DetectionFileError
from dp2.types import FACE, PERSON, VEHICLE, Detections, Frame, Origin

HEIGHT, WIDTH = 20, 30
FRAME = Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
BOX = {"id": 5, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 12]}
DOCUMENT: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "p.jpg", "width": WIDTH, "height": HEIGHT}],
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}, {"id": 18, "name": "dog"}],
    "annotations": [BOX],
}

Read = Callable[..., tuple[Detections, ...]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The detections of p.jpg in a document with some parts changed."""

    def lookup(*annotations: dict[str, Any], **changes: Any) -> tuple[Detections, ...]:
        rows = {"annotations": list(annotations)} if annotations else {}
        (tmp_path / "c.json").write_text(json.dumps({**DOCUMENT, **rows, **changes}))
        return CocoDetections(tmp_path / "c.json").lookup("p.jpg", FRAME, [PERSON])

    return lookup


def written(frames: list[tuple[str, Frame, list[Detections]]]) -> str:
    text = io.StringIO()
    writer = CocoWriter(text)
    for medium, frame, found in frames:
        writer.write(medium, frame, found)
    writer.finish()
    return text.getvalue()


finite = st.floats(-50, 50, width=32)


@st.composite
def people(draw: st.DrawFn) -> Detections:
    count = draw(st.integers(0, 3))
    corners = draw(arrays(np.float32, (count, 2, 2), elements=finite))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    share = st.floats(0, 1, width=32)
    more: dict[str, Any] = {}
    if draw(st.booleans()):
        more["masks"] = draw(arrays(bool, (count, HEIGHT, WIDTH)))
    if draw(st.booleans()):
        points = draw(arrays(np.float32, (count, 17, 2), elements=finite))
        sure = draw(arrays(np.float32, (count, 17, 1), elements=st.floats(0.125, 1, width=32)))
        more["keypoints"] = np.concatenate([points, sure], axis=2)
    if draw(st.booleans()):
        more["track_ids"] = draw(arrays(np.int64, count, elements=st.integers(0, 99)))
    origin = draw(arrays(np.uint8, count, elements=st.sampled_from([o.value for o in Origin])))
    return Detections(PERSON, boxes, draw(arrays(np.float32, count, elements=share)), origin=origin, **more)


@given(people())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, found: Detections) -> None:
    path = tmp_path_factory.mktemp("coco") / "found.json"
    path.write_text(written([("clip.mp4", Frame(FRAME.image, 7, Fraction(7, 25)), [found])]))
    (again,) = open_detections(path).lookup("clip.mp4", Frame(FRAME.image, 7, Fraction(7, 25)), [PERSON])
    assert len(again) == len(found)
    if not len(found):
        return
    np.testing.assert_allclose(again.boxes, found.boxes, rtol=0, atol=1e-5)
    assert np.array_equal(again.scores, found.scores)
    assert np.array_equal(again.origins, found.origins)
    for name in ("masks", "keypoints", "track_ids"):
        ours, theirs = getattr(found, name), getattr(again, name)
        if name == "masks" and ours is not None and not ours.any(axis=(1, 2)).all():
            continue
        assert (ours is None and theirs is None) or np.array_equal(ours, theirs), name


def test_surfaces_survive(tmp_path: Path) -> None:
    surface = np.linspace(-1, 1, 54, dtype=np.float32).reshape(2, 3, 3, 3)
    boxes = np.array([[1, 2, 11, 14], [-3, 0, 4, 9]], np.float32)
    (tmp_path / "s.json").write_text(
        written([("p.jpg", FRAME, [Detections("person_surface", boxes, [0.5, 1], surface=surface)])])
    )
    (again,) = CocoDetections(tmp_path / "s.json").lookup("p.jpg", FRAME, [])
    assert np.array_equal(again.surface, surface)


def test_categories_become_kinds(read: Read) -> None:
    rows = [{**BOX, "category_id": number} for number in (1, 3, 18, 90)]
    extra = [*DOCUMENT["categories"], {"id": 90, "name": "Screen"}]
    assert [found.kind for found in read(*rows, categories=extra)] == [PERSON, VEHICLE, "Screen"]


def test_box_is_corner_and_size(read: Read) -> None:
    (found,) = read(BOX)
    assert found.boxes.tolist() == [[2, 3, 12, 15]]
    assert found.scores.tolist() == [1]


def test_polygon_covers_its_pixels(read: Read) -> None:
    (found,) = read({**BOX, "segmentation": [[5, 4, 15, 4, 15, 12, 5, 12], [20, 15, 25, 15, 25, 18, 20, 18]]})
    assert found.masks[0, 4:12, 5:15].all()
    assert found.masks[0, 15:18, 20:25].all()
    assert found.masks[0].sum() <= 11 * 9 + 6 * 4


def test_compressed_run_lengths(read: Read) -> None:
    # As pycocotools encodes a mask of 20x30 whose rows 5 to 9 of columns 3 and 4 are set
    (found,) = read({**BOX, "segmentation": {"size": [HEIGHT, WIDTH], "counts": "Q25?0_?"}})
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[5:10, 3:5] = True
    assert decode_counts("Q25?0_?") == [65, 5, 15, 5, 510]
    assert np.array_equal(found.masks[0], expected)


def test_keypoints_that_are_not_labelled_have_no_confidence(read: Read) -> None:
    (found,) = read({**BOX, "keypoints": [4, 5, 2, 6, 7, 1, 0, 0, 0], "num_keypoints": 2})
    assert found.keypoints[0].tolist() == [[4, 5, 1], [6, 7, 1], [0, 0, 0]]


def test_listed_image_without_annotations_shows_nobody_and_another_is_an_error(read: Read, tmp_path: Path) -> None:
    assert [len(found) for found in read(annotations=[])] == [0]
    document = CocoDetections(tmp_path / "c.json")
    assert document.resolve(Path("elsewhere/p.jpg")) == "p.jpg"
    with pytest.raises(DetectionFileError, match="no detections for q"):
        document.resolve(Path("q.jpg"))
    with pytest.raises(DetectionFileError, match="no image for frame 1 of p"):
        document.lookup("p.jpg", Frame(FRAME.image, 1), [])
    with pytest.raises(DetectionFileError, match="30x20 there, 9x8 in the input"):
        document.lookup("p.jpg", Frame(np.zeros((8, 9, 3), np.uint8)), [])


@pytest.mark.parametrize(
    "changes",
    [
        {"images": None},
        {"images": [{"id": 1}]},
        {"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]},
        {"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}]},
        {"images": [7]},
        {"categories": []},
        {"annotations": [{**BOX, "image_id": 9}]},
        {"annotations": [{**BOX, "image_id": [1]}]},
        {"annotations": [[]]},
    ],
)
def test_file_that_does_not_hold_together_is_refused(read: Read, changes: dict[str, Any]) -> None:
    with pytest.raises(DetectionFileError, match=r"c\.json"):
        read(**changes)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000 + "]" * 100_000, "\x00"])
def test_file_that_is_no_coco_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DetectionFileError, match=r"c\.json"):
        open_detections(tmp_path / "c.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"bbox": None},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, -3, 4]},
        {"bbox": [1, 2, 3, float("nan")]},
        {"bbox": [0, 0, 10**400, 9]},
        {"score": 7},
        {"segmentation": [[1, 2, 3, 4]]},
        {"segmentation": [[1, 2, 3, 4, 5]]},
        {"segmentation": [[1, 2, 1e30, 4, 5, 6]]},
        {"segmentation": [["a", 2, 3, 4, 5, 6]]},
        {"segmentation": {"counts": [600]}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [2**63 - 1, 2**63 - 1, 602]}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [599]}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": "ooooooooooooooooooo"}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": "\u00e9"}},
        {"segmentation": {"size": [10**9, 10**9], "counts": [10**18]}},
        {"segmentation": 5},
        {"keypoints": [1, 2]},
        {"keypoints": [1, 2, 2], "keypoint_scores": [1, 1]},
        {"track_id": 10**30},
        {"origin": "guessed"},
    ],
)
def test_hostile_annotation_is_named(read: Read, changes: dict[str, Any]) -> None:
    with pytest.raises(DetectionFileError, match=r"c\.json, frame 0 of p\.jpg"):
        read({**BOX, **changes})


def test_own_lines_under_another_ending_are_still_read(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text('{"schema": "dp2.detections/1"}\n')
    assert isinstance(open_detections(tmp_path / "found.json"), StoredDetections)


def test_command_writes_and_reads_coco(tmp_path: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(astronaut[:256, 90:400]).save("photo.png")
    for words in (["--save-detections", "found.json"], ["--detections", "found.json", "-o", "again.png"]):
        result = CliRunner().invoke(anonymize, ["face_solid", "photo.png", *words])
        assert result.exit_code == 0, result.output
    document = json.loads(Path("found.json").read_text())
    assert [row["name"] for row in document["categories"]] == [FACE]
    assert document["images"][0]["file_name"] == "photo.png"
    assert np.array_equal(np.asarray(Image.open("photo_anonymized.png")), np.asarray(Image.open("again.png")))


def test_published_annotations_of_people(shared_data: Path) -> None:
    path = shared_data / "people" / "coco_wholebody.json"
    document = CocoDetections(path)
    photo = np.asarray(Image.open(shared_data / "people" / "000000000785.jpg").convert("RGB"))
    (found,) = document.lookup("000000000785.jpg", Frame(photo), [PERSON])
    rows = [row for row in json.loads(path.read_text())["annotations"] if row["image_id"] == 785]
    assert len(found) == len(rows)
    assert found.keypoints.shape[1:] == (17, 3)
    np.testing.assert_allclose(found.masks.sum(axis=(1, 2)), [row["area"] for row in rows], rtol=0.05)
