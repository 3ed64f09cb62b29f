from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.track.motion import MotionModel

MODEL = MotionModel()
BOXES = np.array([[10.0, 20, 50, 70], [300, 100, 420, 260]])


@given(st.floats(0, 2), st.floats(0, 2))
def test_two_steps_of_time_are_as_one(first, second):
    start = MODEL.predict(MODEL.begin(BOXES), 0.04)
    start = MODEL.correct(start, BOXES + 3)
    start.place[:, 2:] = 40, 50  # the noise scales with the size, which is the same along both ways
    once = MODEL.predict(start, first + second)
    twice = MODEL.predict(MODEL.predict(start, first), second)
    np.testing.assert_allclose(twice.place, once.place)
    np.testing.assert_allclose(twice.covariance, once.covariance, rtol=1e-6, atol=1e-6)


def test_speed_is_found_at_uneven_times():
    motion, now = MODEL.begin(BOXES), 0.0
    velocity = np.array([120.0, -30, 120, -30])
    for time in np.cumsum(np.random.default_rng(0).choice([0.02, 0.04, 0.1], 30)):
        motion = MODEL.correct(MODEL.predict(motion, time - now), BOXES + velocity * time)
        now = time
    np.testing.assert_allclose(motion.speed[:, :2], np.tile(velocity[:2], (2, 1)), rtol=0.02)
    np.testing.assert_allclose(motion.boxes, BOXES + velocity * now, atol=0.5)


def test_seeing_makes_surer_and_waiting_less_sure():
    begun = MODEL.begin(BOXES)
    waited = MODEL.predict(begun, 0.2)
    seen = MODEL.correct(waited, BOXES)
    assert (MODEL.innovation(waited) > MODEL.innovation(begun)).all()
    assert (MODEL.innovation(seen) < MODEL.innovation(waited)).all()
    assert (seen.covariance[:, :, 0] * seen.covariance[:, :, 2] >= seen.covariance[:, :, 1] ** 2).all()


def test_box_without_extent_is_a_pixel():
    assert MODEL.begin(np.array([[5.0, 5, 5, 5]])).boxes[0].tolist() == pytest.approx([4.5, 4.5, 5.5, 5.5])
