"""Detections as files: what is written is read back, and what a person may break is named."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dp2.detections.formats import check_kinds, open_detections
from dp2.detections.records import decode_mask, encode_mask, from_records, to_records
from dp2.detections.stored import DetectionWriter, StoredDetections, cache_key
from dp2.errors import DetectionFileError
from dp2.types import Detections, Frame, Origin

FRAME = Frame(np.zeros((20, 30, 3), np.uint8), index=4)
FACES = Detections(
    "face",
    np.array([[1, 2, 11.5, 14], [-3, 0, 4, 9]], np.float32),
    np.array([0.9, 0.25], np.float32),
    keypoints=np.arange(30, dtype=np.float32).reshape(2, 5, 3),
    masks=np.stack([np.eye(20, 30, dtype=bool), np.ones((20, 30), bool)]),
    surface=np.linspace(-1, 1, 54, dtype=np.float32).reshape(2, 3, 3, 3),
    surface_boxes=np.array([[0, 1, 12, 14.5], [-3, 0, 4, 9]], np.float32),
    track_ids=np.array([7, -1]),
    origin=np.array([Origin.FILLED, Origin.DETECTED], np.uint8),
)


def stored(path: Path, *lines: object) -> StoredDetections:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return StoredDetections(path)


def test_every_field_survives() -> None:
    faces, people = from_records(json.loads(json.dumps(to_records([FACES]))), ["face", "person"], 20, 30, "x")
    for name in ("boxes", "scores", "keypoints", "masks", "surface", "surface_boxes", "track_ids", "origin"):
        assert np.array_equal(getattr(faces, name), getattr(FACES, name)), name
    assert len(people) == 0


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_masks_run_length_round_trip(mask: np.ndarray) -> None:
    assert np.array_equal(decode_mask(encode_mask(mask), *mask.shape), mask)


def test_writer_and_reader_agree(tmp_path: Path) -> None:
    text = io.StringIO()
    writer = DetectionWriter(text)
    writer.write("a/clip.mp4", FRAME, [FACES])
    file = tmp_path / "d.jsonl"
    file.write_text(text.getvalue())
    read = StoredDetections(file)
    assert read.resolve(Path("elsewhere/clip.mp4")) == "a/clip.mp4"
    (faces,) = read.lookup("a/clip.mp4", FRAME, ["face"])
    assert np.array_equal(faces.boxes, FACES.boxes)


def test_a_line_drawn_by_hand_needs_only_kind_and_box(tmp_path: Path) -> None:
    line = {"media": "p.jpg", "frame": 4, "detections": [{"kind": "face", "box": [1, 2, 3, 4]}]}
    (faces,) = stored(tmp_path / "d.jsonl", line).lookup("p.jpg", FRAME, ["face"])
    assert faces.scores.tolist() == [1.0]


def test_hand_drawn_box_beside_a_masked_one_counts_whole() -> None:
    records = [*to_records([FACES[[0]]]), {"kind": "face", "box": [2, 3, 5, 6]}]
    (faces,) = from_records(records, [], 20, 30, "x")
    assert faces.masks is not None
    assert faces.masks[1].sum() == 9


def test_what_the_track_shows_survives_and_a_hand_drawn_row_beside_it_is_as_steady_as_it_is() -> None:
    steady = Detections("face", FACES.boxes + 1, FACES.scores / 2, keypoints=FACES.keypoints + 3)
    drawn = {"kind": "face", "box": [2, 3, 5, 6]}
    records = json.loads(json.dumps([*to_records([FACES.with_(steady=steady)]), drawn]))
    (faces,) = from_records(records, [], 20, 30, "x")
    for name in ("boxes", "scores", "keypoints"):
        assert np.array_equal(getattr(faces.steady, name)[:2], getattr(steady, name)), name
    assert faces.steady.boxes[2].tolist() == [2, 3, 5, 6]
    assert faces.steady.scores[2] == 1


@pytest.mark.parametrize("steady", [7, [], "box", {}, {"box": [1, 2]}, {"box": [1, 2, 3, float("nan")]}])
def test_a_malformed_steady_row_is_named(steady: object) -> None:
    record = {"kind": "face", "box": [2, 3, 5, 6], "steady": steady}
    with pytest.raises(DetectionFileError, match="malformed"):
        from_records([record], [], 20, 30, "x")


def test_frame_without_a_line_is_an_error_not_an_empty_frame(tmp_path: Path) -> None:
    read = stored(tmp_path / "d.jsonl", {"media": "p.jpg", "frame": 0, "detections": []})
    with pytest.raises(DetectionFileError, match="no line for frame 4"):
        read.lookup("p.jpg", FRAME, ["face"])


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[1, 2]",
        '{"frame": 1}',
        '{"schema": "other/9"}',
    ],
)
def test_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(DetectionFileError, match=r"d\.jsonl"):
        stored(tmp_path / "d.jsonl", line)


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "face"},
        {"kind": "face", "box": [1, 2, 3]},
        {"kind": "face", "box": [5, 2, 3, 4]},
        {"kind": "face", "box": [1, 2, 3, "x"]},
        {"kind": "face", "box": [1, 2, 3, 4], "origin": "guessed"},
        {"kind": "face", "box": [1, 2, 3, 4], "mask": {"size": [2, 2], "counts": [4]}},
        {"kind": "face", "box": [1, 2, 3, 4], "surface": {"size": [2, 2, 2], "zlib": "AAAA"}},
        {"kind": "face", "box": [1, 2, 3, 4], "surface": {"size": [2, 2, 2], "zlib": "eJxjAAAAAQAB"}},
        {"kind": "face", "box": [1, 2, 3, 4], "surface": "eJxjAAAAAQAB"},
        7,
    ],
)
def test_malformed_detection_is_named(tmp_path: Path, record: object) -> None:
    read = stored(tmp_path / "d.jsonl", {"media": "p.jpg", "frame": 4, "detections": [record]})
    with pytest.raises(DetectionFileError, match=r"d\.jsonl, frame 4"):
        read.lookup("p.jpg", FRAME, ["face"])


def test_detections_of_another_size_or_medium_are_refused(tmp_path: Path) -> None:
    line = {"media": "p.jpg", "frame": 4, "width": 99, "height": 20, "detections": []}
    read = stored(tmp_path / "d.jsonl", line)
    with pytest.raises(DetectionFileError, match="99x20"):
        read.lookup("p.jpg", FRAME, ["face"])
    with pytest.raises(DetectionFileError, match="no detections for q"):
        read.resolve(Path("q.jpg"))


def test_cache_key_follows_content_and_settings(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"1")
    first = cache_key(file, {"detector": {"score_threshold": 0.2}})
    assert first == cache_key(file, {"detector": {"score_threshold": 0.2}})
    assert first != cache_key(file, {"detector": {"score_threshold": 0.3}})
    file.write_bytes(b"2")
    assert first != cache_key(file, {"detector": {"score_threshold": 0.2}})


def test_a_file_of_faces_is_refused_for_bodies(tmp_path):
    path = tmp_path / "faces.jsonl"
    path.write_text(json.dumps({"media": "p.jpg", "frame": 0, "detections": [{"kind": "face", "box": [1, 2, 3, 4]}]}))
    file = open_detections(path)
    with pytest.raises(
        DetectionFileError, match=r"holds face, but what is to be covered is person; .*--save-detections"
    ):
        check_kinds(file, ["person"])
    check_kinds(file, ["person", "face"])
    check_kinds(file, ["face"])
    path.write_text(json.dumps({"media": "p.jpg", "frame": 0, "detections": [{"kind": "person", "box": [1, 2, 3, 4]}]}))
    for kinds in (["face"], ["person"], ["person_surface", "vehicle"]):  # whole people hide their faces too
        check_kinds(open_detections(path), kinds)
    path.write_text(json.dumps({"media": "p.jpg", "frame": 0, "detections": []}))
    check_kinds(open_detections(path), ["person"])
