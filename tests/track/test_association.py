from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dp2.geometry.boxes import iou
from dp2.track.association import Association
from dp2.track.motion import MotionModel

MODEL = MotionModel()
RULES = Association()
AT_REST = np.array([[100.0, 100, 140, 150], [300, 100, 340, 150], [500, 100, 540, 150], [700, 300, 740, 350]])


def shift(x, y=0.0):
    return np.array([x, y, x, y])


def expected(boxes, seen=5):
    motion = MODEL.begin(boxes)
    for _ in range(seen):
        motion = MODEL.correct(MODEL.predict(motion, 0.04), boxes)
    return MODEL.predict(motion, 0.04)


def test_least_total_cost_wins_over_the_nearest_first():
    # detection 0 is nearest to both tracks, but only track 0 can take it if track 1 is to have one at all
    motion = expected(np.array([[100.0, 100, 140, 150], [130, 100, 170, 150]]))
    pairs = RULES.likely(motion, MODEL, np.array([[118.0, 100, 158, 150], [148, 100, 188, 150]]))
    assert pairs.tolist() == [[0, 0], [1, 1]]


def test_another_size_is_another_thing_unless_it_overlaps():
    motion = expected(AT_REST[:1])
    apart = np.array([[145.0, 100, 245, 225]])
    over = np.array([[95.0, 95, 165, 185]])
    assert len(RULES.likely(motion, MODEL, apart)) == 0
    assert len(RULES.likely(motion, MODEL, over)) == 1


def test_weak_detection_must_lie_nearer():
    fresh = MODEL.predict(MODEL.begin(AT_REST[:1]), 0.2)
    seen = AT_REST[:1] + shift(60)
    assert len(RULES.likely(fresh, MODEL, seen)) == 1
    assert len(RULES.likely(fresh, MODEL, seen, weak=True)) == 0


def test_jump_needs_a_lonely_pair():
    motion = expected(AT_REST[:1])
    there = AT_REST[:1] + shift(120)
    assert RULES.jumps(motion, there).tolist() == [[0, 0]]
    assert len(RULES.jumps(motion, np.concatenate([there, AT_REST[:1] - shift(150)]))) == 0
    assert len(RULES.jumps(motion, AT_REST[:1] + shift(300))) == 0


def test_camera_shift_is_what_most_agree_on():
    shifted = AT_REST + shift(90, -20)
    shifted[3] += 500  # one went its own way
    assert RULES.camera_shift(expected(AT_REST), shifted).tolist() == [90, -20]
    assert RULES.camera_shift(expected(AT_REST), AT_REST + 2).tolist() == [0, 0]


@given(arrays(np.float64, (3, 4), elements=st.floats(-50, 50)), arrays(np.float64, (2, 4), elements=st.floats(-50, 50)))
def test_iou_is_symmetric_and_one_for_itself(first, second):
    first[:, 2:], second[:, 2:] = first[:, :2] + np.abs(first[:, 2:]) + 1, second[:, :2] + np.abs(second[:, 2:])
    assert np.array_equal(iou(first, second), iou(second, first).T)
    np.testing.assert_allclose(np.diag(iou(first, first)), 1)
    assert ((iou(first, second) >= 0) & (iou(first, second) <= 1 + 1e-9)).all()
