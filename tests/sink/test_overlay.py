"""Detections drawn over frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.sink.overlay import draw
from dp2.types import Detections, Origin

GREY = np.full((120, 160, 3), 128, np.uint8)


def changed(image: np.ndarray, before: np.ndarray = GREY) -> np.ndarray:
    return (image != before).any(axis=2)


def faces(*boxes, **arrays) -> Detections:
    return Detections("face", np.array(boxes, np.float32), np.full(len(boxes), 0.87, np.float32), **arrays)


def test_box_is_drawn_around_the_face_and_the_frame_stays_as_it_was():
    before = GREY.copy()
    result = changed(draw(GREY, [faces((40, 30, 80, 90))]))
    assert (before == GREY).all()
    assert result[30, 40:80].all()
    assert result[30:90, 40].all()
    assert not result[36:84, 46:74].any()
    assert not result[:26].any()


def test_filled_boxes_are_dashed():
    filled = np.array([Origin.FILLED], np.uint8)
    top = changed(draw(GREY, [faces((40, 30, 120, 90), origin=filled)]))[30, 40:120]
    assert 0.2 < top.mean() < 0.8


def test_scores_and_ids_are_written_only_when_asked_for():
    found = faces((40, 40, 100, 90), track_ids=np.array([7]))
    assert not changed(draw(GREY, [found], shapes=False)).any()
    scores = changed(draw(GREY, [found], shapes=False, scores=True))
    ids = changed(draw(GREY, [found], shapes=False, ids=True))
    assert scores.any()
    assert ids.any()
    assert (scores != ids).any()
    assert not scores[42:].any()


def test_untracked_box_has_no_id():
    assert not changed(draw(GREY, [faces((40, 40, 100, 90), track_ids=np.array([-1]))], shapes=False, ids=True)).any()


@pytest.mark.parametrize("corner", [(-30, -30), (130, -30), (-30, 100), (130, 100)])
def test_text_of_a_face_at_the_border_is_inside_the_frame(corner):
    x, y = corner
    written = draw(GREY, [faces((x, y, x + 60, y + 60))], shapes=False, scores=True)
    reference = draw(GREY, [faces((60, 60, 120, 110))], shapes=False, scores=True)
    assert changed(written).sum() == changed(reference).sum()


def test_mask_is_tinted_and_nothing_else():
    mask = np.zeros((1, 120, 160), bool)
    mask[0, 50:70, 50:70] = True
    person = Detections("person", [[20, 20, 100, 100]], [0.9], masks=mask)
    tinted = changed(draw(GREY, [person]))
    assert tinted[mask[0]].all()
    assert not tinted[45:50, 30:90].any()


def test_surface_is_coloured_where_there_is_body():
    surface = np.zeros((1, 3, 8, 8), np.float32)
    surface[0, 0, :, :4], surface[0, 1, :, 4:], surface[0, 2, :, :6] = 1, 1, 1
    body = Detections("person_surface", [[40, 20, 120, 100]], [0.9], surface=surface)
    image = draw(GREY, [body])
    assert (image[60, 60] != 128).any()
    assert (image[60, 60] != image[60, 90]).any()
    assert (image[60, 110] == 128).all()


def test_body_keypoints_are_joined_and_unseen_ones_left_out():
    points = np.zeros((1, 17, 3), np.float32)
    points[0, 5], points[0, 6] = (40, 60, 1), (100, 60, 1)  # shoulders
    person = Detections("person", [[10, 10, 150, 110]], [0.9], keypoints=points)
    drawn = changed(draw(GREY, [person]))
    assert drawn[60, 45:95].all()
    assert not drawn[:5, :5].any()


def test_bones_can_be_seen_on_the_mask_of_their_colour():
    points = np.zeros((1, 17, 3), np.float32)
    points[0, 5], points[0, 6] = (40, 60, 1), (100, 60, 1)
    person = Detections("person", [[10, 10, 150, 110]], [0.9], masks=np.ones((1, 120, 160), bool))
    posed = draw(GREY, [person.with_(keypoints=points)])[55:66, 50:90].astype(int)
    tinted = draw(GREY, [person])[60, 70].astype(int)
    contrast = np.abs(posed - tinted).max(axis=2)
    assert (contrast.max(axis=0) > 60).all()


def test_landmarks_of_a_face_are_points():
    points = np.array([[[60, 50, 1], [80, 50, 1], [70, 60, 1], [62, 70, 1], [78, 70, 1]]], np.float32)
    drawn = changed(draw(GREY, [faces((50, 40, 90, 80), keypoints=points)]))
    assert all(drawn[int(y), int(x)] for x, y, _ in points[0])
    assert not drawn[50, 66:74].any()


def test_legend_stands_in_the_corner():
    drawn = changed(draw(GREY, [], legend={"faces": "3", "fps": "24.9"}))
    assert drawn[:10, :10].all()
    assert not drawn[:, 130:].any()


def test_text_grows_with_the_frame():
    small, large = (
        changed(draw(frame, [faces((100, 100, 150, 150))], shapes=False, scores=True), frame).sum()
        for frame in (np.zeros((480, 640, 3), np.uint8), np.zeros((2160, 3840, 3), np.uint8))
    )
    assert large > 8 * small


anywhere = st.floats(-1e9, 1e9, width=32)


@given(st.integers(1, 40), st.integers(1, 40), anywhere, anywhere, anywhere, anywhere)
@settings(max_examples=60, deadline=None)
def test_any_frame_and_box_can_be_drawn(height, width, x0, y0, x1, y1):
    frame = np.zeros((height, width, 3), np.uint8)
    box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    points = np.array([[[x0, y0, 1]] * 17], np.float32)
    surface = np.ones((1, 3, 4, 4), np.float32)
    found = faces(box, box, keypoints=points.repeat(2, 0), surface=surface.repeat(2, 0), origin=[0, 2])
    result = draw(frame, [found], scores=True, ids=True, legend={"fps": "1"})
    assert result.shape == frame.shape
    assert result.dtype == np.uint8
