"""Detectors joined: bodies by mask and surface, faces with keypoints, faces in bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load_file

from dp2.detect.combine.multi_modal import MultiModal
from dp2.detect.faces.face_keypoints import FaceKeypoints, face_keypoints
from dp2.detect.people.densepose_cse import body_masks
from dp2.detect.people.surface_people import SurfacePeople
from dp2.errors import DetectionError, UsageError
from dp2.geometry.bodies import BodyRule
from dp2.geometry.mask_matching import greedy_matches, mask_ious, masks_to_boxes
from dp2.types import FACE, PERSON, PERSON_SURFACE, VEHICLE, Detections, Image, Origin

PARITY = Path(__file__).resolve().parents[2].parent / "shared" / "parity"
FRAME = np.zeros((100, 120, 3), np.uint8)


class Given:
    """A detector that finds the same in every frame, and counts how often it is asked."""

    settings: dict[str, Any] = {"detector": "Given"}  # noqa: RUF012

    def __init__(self, *found: Detections) -> None:
        self.found, self.calls = found, 0
        self.kinds = tuple(part.kind for part in found)

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        self.calls += 1
        return [self.found] * len(images)


def rectangles(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    masks = np.zeros((len(boxes), 100, 120), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def people(*boxes: tuple[int, int, int, int], kind: str = PERSON, **more: Any) -> Detections:
    scores = np.linspace(0.9, 0.5, len(boxes))
    return Detections(kind, np.array(boxes, np.float32), scores, masks=rectangles(*boxes), **more)


def surfaces(*boxes: tuple[int, int, int, int], **more: Any) -> Detections:
    surface = np.ones((len(boxes), 3, 4, 4), np.float32) * np.arange(1, len(boxes) + 1)[:, None, None, None]
    return people(*boxes, kind=PERSON_SURFACE, surface=surface, **more)


def joined_people(masks: Detections, bodies: Detections, **settings: Any) -> tuple[Detections, ...]:
    (found,) = SurfacePeople(masks=Given(masks), surfaces=Given(bodies), **settings)([FRAME])
    return found


def test_matched_people_get_both_masks_and_keep_their_surface() -> None:
    single, matched = joined_people(people((10, 10, 30, 80), (60, 10, 90, 80)), surfaces((60, 20, 95, 85)))
    assert single.boxes.tolist() == [[10, 10, 30, 80]]
    assert matched.boxes.tolist() == [[60, 10, 95, 85]]
    assert matched.surface_boxes.tolist() == [[60, 20, 95, 85]]
    assert np.array_equal(matched.masks[0], rectangles((60, 10, 90, 80), (60, 20, 95, 85)).any(axis=0))
    assert matched.scores.tolist() == [pytest.approx(0.9)]


def test_earlier_detection_takes_the_match_even_if_a_later_one_fits_better() -> None:
    single, matched = joined_people(people((10, 10, 30, 80), (10, 10, 32, 84)), surfaces((10, 10, 32, 84)))
    assert single.boxes.tolist() == [[10, 10, 32, 84]]
    assert matched.masks[0].sum() == 22 * 74


def test_somebody_only_seen_by_surface_stays_unless_masks_cover_them() -> None:
    bodies = surfaces((10, 10, 30, 80), (15, 40, 25, 50), (80, 10, 100, 80))
    _, found = joined_people(people((10, 10, 30, 80)), bodies)
    assert found.boxes.tolist() == [[10, 10, 30, 80], [80, 10, 100, 80]]
    assert found.surface[:, 0, 0, 0].tolist() == [1, 3]
    _, published = joined_people(people((10, 10, 30, 80)), bodies, covered=0.0)
    assert len(published) == 1


def test_masks_of_unsure_people_cover_nobody() -> None:
    weak = people((10, 10, 110, 95), origin=np.array([Origin.WEAK]))
    single, found = joined_people(weak, surfaces((20, 20, 30, 40)))
    assert (len(single), len(found)) == (1, 1)


def test_one_sure_detector_makes_a_person_sure() -> None:
    box = (10, 10, 30, 80)
    for one, other, sure in ((0, 1, True), (1, 0, True), (1, 1, False)):
        _, found = joined_people(people(box, origin=[one]), surfaces(box, origin=[other]))
        assert (found.origins == Origin.DETECTED).tolist() == [sure]


@pytest.mark.parametrize(("masks", "bodies"), [([], []), ([(1, 1, 9, 9)], []), ([], [(1, 1, 9, 9)])])
def test_one_side_without_people_leaves_the_other_as_it_is(masks: Any, bodies: Any) -> None:
    single, found = joined_people(people(*masks), surfaces(*bodies))
    assert (len(single), len(found)) == (len(masks), len(bodies))


def test_vehicles_pass_through_and_each_detector_runs_once() -> None:
    masks = Given(people((0, 0, 9, 9), kind=VEHICLE), people((10, 10, 30, 80)))
    bodies = Given(surfaces((10, 10, 30, 80)))
    both = SurfacePeople(masks=masks, surfaces=bodies)
    assert both.kinds == (VEHICLE, PERSON, PERSON_SURFACE)
    found = both([FRAME, FRAME])
    assert [[len(part) for part in parts] for parts in found] == [[1, 0, 1]] * 2
    assert (masks.calls, bodies.calls) == (1, 1)
    assert json.dumps(both.settings) != json.dumps(SurfacePeople(masks=masks, surfaces=bodies, iou=0.5).settings)


def test_people_without_masks_are_an_error() -> None:
    bare = Detections(PERSON, [[0, 0, 9, 9]], [0.9])
    with pytest.raises(DetectionError, match="no masks"):
        joined_people(bare, surfaces((0, 0, 9, 9)))


@given(arrays(bool, (2, 5, 6)), arrays(bool, (3, 5, 6)))
def test_overlaps_are_shared_over_joint_pixels(masks: np.ndarray, others: np.ndarray) -> None:
    ious = mask_ious(masks, others)
    for row, mask in enumerate(masks):
        for column, other in enumerate(others):
            joint = (mask | other).sum()
            assert ious[row, column] == pytest.approx((mask & other).sum() / joint if joint else 0)


@given(arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)), st.floats(0.1, 0.9))
def test_matches_use_each_row_and_column_once_and_leave_no_pair(ious: np.ndarray, threshold: float) -> None:
    pairs = greedy_matches(ious, threshold)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    rest = np.delete(np.delete(ious, pairs[:, 0], axis=0), pairs[:, 1], axis=1)
    assert not (rest >= np.float32(threshold)).any()


@pytest.mark.parity
def test_people_are_joined_as_published() -> None:
    if not (PARITY / "pipeline.safetensors").is_file():
        pytest.skip("../shared/parity is not there")
    case: Mapping[str, torch.Tensor] = load_file(PARITY / "pipeline.safetensors")
    boxes, body = case["cse_in/bbox_XYXY"].numpy(), case["cse_in/instance_segmentation"].bool().numpy()
    masks = body_masks(body, boxes, (480, 640))
    assert np.array_equal(masks, case["cse_in/im_segmentation"].numpy())
    surface = np.concatenate([case["cse_in/instance_embedding"].numpy(), body[:, None]], axis=1)
    bodies = Detections(PERSON_SURFACE, boxes, case["cse_in/scores"], masks=masks, surface=surface)
    segmentation = case["segmentation"].numpy()
    found = Detections(PERSON, masks_to_boxes(segmentation), np.ones(len(segmentation)), masks=segmentation)
    single, matched = joined_people(found, bodies, covered=0.0)
    assert len(single) == 0
    assert np.array_equal(matched.masks, case["combined/segmentation"].numpy())
    assert np.array_equal(matched.surface_boxes, case["combined/bbox_XYXY"].numpy())
    assert np.array_equal(matched.surface[:, -1], case["combined/instance_segmentation"].numpy())
    assert np.array_equal(matched.scores, case["combined/scores"].numpy())


def person_at(x: float, y: float) -> np.ndarray:
    """17 keypoints, the face around a point."""
    points = np.ones((17, 3), np.float32)
    points[:, :2] = (x, y)
    points[1:3, 0] += (3, -3)
    points[5:7, :2] += ((20, 20), (-20, 20))
    return points


def test_each_face_gets_the_first_person_whose_nose_and_eyes_lie_in_it() -> None:
    boxes = np.array([[10, 10, 30, 30], [50, 10, 70, 30], [90, 10, 99, 30]], np.float32)
    bodies = np.stack([person_at(60, 20), person_at(61, 20), person_at(20, 20), person_at(70, 20)])
    given = face_keypoints(boxes, bodies)
    assert np.array_equal(given[0], bodies[2, :7])
    assert np.array_equal(given[1], bodies[0, :7])
    assert not given[2].any()


def test_person_serves_one_face() -> None:
    boxes = np.array([[10, 10, 30, 30], [9, 9, 31, 31]], np.float32)
    given = face_keypoints(boxes, person_at(20, 20)[None])
    assert given[0].any()
    assert not given[1].any()


def test_every_face_stays_and_landmarks_are_replaced() -> None:
    landmarks = np.ones((1, 5, 3), np.float32)
    faces = Given(Detections(FACE, [[10, 10, 30, 30]], [0.9], keypoints=landmarks))
    nobody = Given(Detections.empty(PERSON))
    ((found,),) = FaceKeypoints(faces, nobody)([FRAME])
    assert found.keypoints.shape == (1, 7, 3)
    assert not found.keypoints.any()
    with pytest.raises(UsageError):
        FaceKeypoints(nobody, faces)
    with pytest.raises(DetectionError, match="none"):
        FaceKeypoints(faces, Given(people((1, 1, 9, 9))))([FRAME])


def faces_left(faces: list[list[float]], *bodies: Detections, **settings: Any) -> list[list[float]]:
    found = Detections(FACE, np.array(faces, np.float32), np.full(len(faces), 0.9))
    ((left, *others),) = MultiModal(faces=Given(found), bodies=Given(*bodies), **settings)([FRAME])
    assert all(ours is theirs for ours, theirs in zip(others, bodies, strict=True))
    boxes: list[list[float]] = left.boxes.tolist()
    return boxes


def test_face_in_a_body_is_left_to_it_and_others_stay() -> None:
    body = people((20, 10, 60, 95))
    inside, beside, across = [30, 15, 45, 30], [80, 10, 95, 30], [50, 40, 75, 60]
    assert faces_left([inside, beside, across], body) == [beside, across]
    assert faces_left([inside], people(), body.with_(kind=PERSON_SURFACE)) == []


def test_face_inside_the_dilated_rim_counts_as_inside() -> None:
    # The crop of this body is 126 rows high, so that the dilation by 4 of 288 rows is 1 to 2 pixels.
    assert faces_left([[20, 40, 40, 60]], people((20, 10, 60, 95))) == []
    assert faces_left([[16, 40, 40, 60]], people((20, 10, 60, 95))) == [[16, 40, 40, 60]]


def test_face_of_somebody_in_another_ones_box_is_not_left_visible() -> None:
    frame_like = rectangles((20, 10, 60, 95))
    frame_like[0, 15:60, 25:55] = False
    body = Detections(PERSON, [[20, 10, 60, 95]], [0.9], masks=frame_like)
    face = [30, 20, 50, 45]
    assert faces_left([face], body) == [face]
    assert faces_left([face], body, covered=0.0) == []


def test_unsure_bodies_and_vehicles_take_no_face() -> None:
    face, box = [30, 15, 45, 30], (20, 10, 60, 95)
    assert faces_left([face], people(box, origin=[Origin.WEAK])) == [face]
    assert faces_left([face], people(box, kind=VEHICLE), people()) == [face]


def test_several_kinds_need_faces_and_bodies() -> None:
    faces, bodies = Given(Detections.empty(FACE)), Given(people())
    for wrong in ((bodies, faces), (faces, faces), (faces, Given(Detections.empty(VEHICLE)))):
        with pytest.raises(UsageError):
            MultiModal(faces=wrong[0], bodies=wrong[1])
    both = MultiModal(faces=faces, bodies=bodies, rule=BodyRule())
    assert both.kinds == (FACE, PERSON)
    assert json.dumps(both.settings)
