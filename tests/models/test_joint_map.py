"""The drawing of limbs for TriaGAN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dp2.models.joint_map import HEAD, LEFT_ARM, LEFT_LEG, RIGHT_ARM, RIGHT_LEG, TRUNK, draw_joint_map

PARITY = Path(__file__).resolve().parents[2].parent / "shared" / "parity"

# a person standing upright, facing the camera: x, y of nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles
STANDING = np.array(
    [
        [0.50, 0.10], [0.53, 0.08], [0.47, 0.08], [0.57, 0.10], [0.43, 0.10], [0.65, 0.25], [0.35, 0.25], [0.75, 0.40],
        [0.25, 0.40], [0.80, 0.55], [0.20, 0.55], [0.60, 0.55], [0.40, 0.55], [0.62, 0.75], [0.38, 0.75], [0.63, 0.95],
        [0.37, 0.95],
    ]
)  # fmt: skip


def person(*hidden: int) -> np.ndarray:
    seen = np.ones(17)
    seen[list(hidden)] = 0
    return np.column_stack([STANDING, seen]).astype(np.float32)


def test_a_whole_person_has_every_limb_where_it_belongs() -> None:
    drawing = draw_joint_map(person(), 288, 160)[0]
    assert set(np.unique(drawing)) == {0, HEAD, LEFT_ARM, RIGHT_ARM, TRUNK, LEFT_LEG, RIGHT_LEG}
    columns = {label: np.nonzero(drawing == label)[1].mean() for label in (LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG)}
    assert columns[LEFT_ARM] > 80 > columns[RIGHT_ARM]  # the person's left is the picture's right
    assert columns[LEFT_LEG] > 80 > columns[RIGHT_LEG]


def test_a_limb_with_an_unseen_end_is_not_drawn() -> None:
    assert not (draw_joint_map(person(13), 288, 160) == LEFT_LEG).any()
    assert not (draw_joint_map(person(*range(17)), 288, 160)).any()


def test_neck_is_drawn_to_the_eyes_where_the_nose_is_unseen() -> None:
    drawing = draw_joint_map(person(0, 3, 4), 288, 160)[0]
    assert (drawing[35:65, 78:83] == HEAD).any()


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (17, 3), elements=st.floats(0, 1, width=32)), st.floats(0, 1, width=32))
def test_where_an_unseen_keypoint_lies_does_not_matter(points: np.ndarray, elsewhere: float) -> None:
    points[:, 2] = points[:, 2] > 0.5
    points[0, 2] = 1  # without a nose, the neck's line goes to the eyes, seen or not, as published
    moved = points.copy()
    moved[points[:, 2] == 0, :2] = elsewhere
    assert np.array_equal(draw_joint_map(points, 96, 64), draw_joint_map(moved, 96, 64))


def test_wrong_number_of_keypoints_is_refused() -> None:
    with pytest.raises(ValueError, match="17"):
        draw_joint_map(np.zeros((7, 3), np.float32), 10, 10)


@pytest.mark.parity
def test_equals_the_published_drawings() -> None:
    if not PARITY.is_dir():
        pytest.skip("../shared/parity is not there")
    from safetensors.numpy import load_file

    case = load_file(PARITY / "pipeline.safetensors")
    for i in range(7):
        drawing = draw_joint_map(case[f"person_kp/crops/{i}/keypoints"][0], 288, 160)
        assert np.array_equal(drawing, case[f"person_kp/crops/{i}/joint_map"][0])
