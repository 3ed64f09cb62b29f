"""What the picture's border cuts is masked up to it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.geometry.border import up_to_border

HEIGHT, WIDTH = 60, 80


def _hull() -> np.ndarray:
    """Somebody at the bottom: broad shoulders at row 45, rounded off to a point at the border."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    for row in range(30, HEIGHT):
        half = 15 - abs(row - 45)
        mask[row, 40 - max(half, 1) : 40 + max(half, 1)] = True
    return mask


def test_shoulders_at_the_bottom_go_down_to_it():
    mask = _hull()
    up_to_border(mask, np.array([20, 20, 60, 59.5], np.float32))
    assert mask[-1, 26:54].all()  # as broad as at row 46, where the band begins
    assert not mask[:40, :20].any()


def test_the_second_foot_beside_the_first_one_is_masked():
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[20:50, 60:70] = True  # one leg; the other is at columns 75 to 79 and was not seen
    up_to_border(mask, np.array([55, 15, 80, 52], np.float32))
    assert mask[20:50, 71:].all()


def test_a_box_far_beyond_the_picture_counts_as_far_as_it_is_inside():
    mask, inside = _hull(), _hull()
    up_to_border(mask, np.array([20, 20, 60, 1e6], np.float32))
    up_to_border(inside, np.array([20, 20, 60, HEIGHT], np.float32))
    assert np.array_equal(mask, inside)


def test_nothing_changes_far_from_the_border():
    mask, before = _hull(), _hull()
    up_to_border(mask, np.array([20, 20, 60, 50], np.float32))
    assert np.array_equal(mask, before)


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(-20, 100), st.integers(-20, 80)),  # whole, so that turning the picture rounds nothing
    st.tuples(st.integers(0, 120), st.integers(0, 100)),
)
def test_whatever_the_box_a_mask_only_grows_and_alike_at_all_four_sides(
    seed: int, corner: tuple[int, int], size: tuple[int, int]
):
    before = np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.1
    x0, y0 = corner
    box = np.array([x0, y0, x0 + size[0], y0 + size[1]], np.float32)
    mask = before.copy()
    up_to_border(mask, box)
    assert (mask >= before).all()
    turned = np.ascontiguousarray(before[::-1, ::-1])
    up_to_border(turned, (np.array([WIDTH, HEIGHT, WIDTH, HEIGHT]) - box[[2, 3, 0, 1]]).astype(np.float32))
    assert np.array_equal(turned[::-1, ::-1], mask)
