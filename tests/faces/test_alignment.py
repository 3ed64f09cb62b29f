"""Faces are cut out where recognition networks expect them, and their quality is told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.faces.alignment import SPHEREFACE, aligned, boxed, similarity, typical_landmarks
from dp2.faces.quality import face_quality, frontality, sharpness

FRONTAL = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


def turned(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ rotation.T + shift


moves = st.tuples(
    st.floats(-3, 3), st.floats(0.1, 10), st.tuples(st.floats(-500, 500, width=32), st.floats(-500, 500, width=32))
)


@given(moves)
def test_a_similarity_is_found_again_and_undone(move: tuple[float, float, tuple[float, float]]) -> None:
    matrix = similarity(turned(FRONTAL, *move), SPHEREFACE)
    plain = similarity(FRONTAL, SPHEREFACE)
    through = np.column_stack([turned(FRONTAL, *move), np.ones(5)]) @ matrix.T
    assert np.allclose(through, np.column_stack([FRONTAL, np.ones(5)]) @ plain.T, atol=1e-3)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = FRONTAL * [-1, 1]
    assert np.linalg.det(similarity(mirrored, SPHEREFACE)[:, :2]) > 0


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.ones((1, 2))])
def test_points_that_say_nothing_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="point"):
        similarity(points, SPHEREFACE[: len(points)])


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5, 11.0])
def test_landmarks_come_to_their_places_at_any_size(scale: float) -> None:
    points = turned(SPHEREFACE, 0.4, scale, (60 + 90 * scale, 40 + 20 * scale)).astype(np.float32)
    side = int(260 * scale + 120)
    image = np.zeros((side, side, 3), np.uint8)
    for x, y in points:  # a soft spot on each landmark
        gap = np.square(np.arange(side) - x)[None] + np.square(np.arange(side) - y)[:, None]
        image = np.maximum(image, (255 * np.exp(-gap / (2 * (2.5 * scale) ** 2)))[..., None].astype(np.uint8))
    face = aligned(image, points, SPHEREFACE, (112, 96)).astype(float)[..., 0]
    for x, y in SPHEREFACE:
        rows, columns = np.mgrid[int(y) - 6 : int(y) + 8, int(x) - 6 : int(x) + 8]
        weights = face[rows, columns]
        centre = (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()
        assert np.allclose(centre, (x, y), atol=0.2)


def test_a_large_face_is_averaged_down() -> None:
    stripes = np.zeros((1200, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    face = aligned(stripes, SPHEREFACE * 10, SPHEREFACE, (112, 96))
    assert abs(face[5:-5, 5:-5].astype(int) - 127).max() <= 2


def test_landmarks_guessed_from_a_box_are_near_the_detected_ones(astronaut: np.ndarray) -> None:
    from dp2.detect.faces.centerface import CenterFace

    ((face,),) = CenterFace()([astronaut])
    gap = np.linalg.norm(typical_landmarks(face.boxes)[0] - face.keypoints[0, :, :2], axis=1)
    assert (gap < 0.12 * (face.boxes[0, 3] - face.boxes[0, 1])).all()


def test_a_box_is_clipped_to_the_picture(scene: np.ndarray) -> None:
    cut = boxed(scene, np.array([-20, -20, 40, 40], np.float32), 0.0, (40, 40))
    assert np.array_equal(cut, scene[:40, :40])
    with pytest.raises(ValueError, match="outside"):
        boxed(scene, np.array([500, 500, 600, 600], np.float32), 0.0, (40, 40))


@given(moves, st.floats(-1, 1))
def test_frontality_does_not_depend_on_place_size_or_roll(move: tuple, nose: float) -> None:
    points = FRONTAL + np.array([[0, 0], [0, 0], [35 * nose, 0], [0, 0], [0, 0]], np.float32)
    assert frontality(turned(points, *move)) == pytest.approx(max(0.0, 1 - abs(nose) * 2), abs=1e-6)


def test_a_blurred_face_is_of_less_quality_whatever_its_contrast(astronaut: np.ndarray) -> None:
    box, points = np.array([175, 60, 275, 190], np.float32), np.array(
        [[203, 112], [242, 111], [225, 135], [207, 155], [241, 154]], np.float32
    )  # fmt: skip
    sharp = face_quality(astronaut, box, points)
    soft = face_quality(cv2.GaussianBlur(astronaut, (0, 0), 4), box, points)
    pale = face_quality((astronaut // 2 + 60).astype(np.uint8), box, points)
    assert sharp.size == 100
    assert soft.sharpness < 0.6 * sharp.sharpness
    assert pale.sharpness == pytest.approx(sharp.sharpness, rel=0.1)
    assert 0 <= soft.score < sharp.score <= 1


def test_one_colour_is_not_sharp() -> None:
    assert sharpness(np.full((112, 96, 3), 90, np.uint8)) == 0
