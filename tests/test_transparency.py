"""Transparency hides nobody: faces in an alpha channel, and what lies under transparent pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dp2 import load_anonymizer
from dp2.anonymizer import Anonymizer
from dp2.transparency import covered, views
from dp2.types import Detections, regions

FACE = (slice(95, 155), slice(200, 250))  # of astronaut.png, rows and columns


@pytest.fixture(scope="module")
def anonymizer() -> Anonymizer:
    return load_anonymizer("face_blur")


@pytest.mark.parametrize("paint", [0, 255])
def test_face_drawn_only_in_the_alpha_channel_is_covered(
    anonymizer: Anonymizer, astronaut: np.ndarray, paint: int
) -> None:
    grey = np.asarray(Image.fromarray(astronaut).convert("L"))
    alpha = grey if paint == 0 else 255 - grey
    before = np.dstack([np.full_like(astronaut, paint), alpha])
    after = np.asarray(anonymizer(Image.fromarray(before)))
    assert (after[FACE][..., 3] != alpha[FACE]).mean() > 0.9
    assert np.array_equal(after[300:, :, 3], alpha[300:])


def test_face_under_full_transparency_is_covered(anonymizer: Anonymizer, astronaut: np.ndarray) -> None:
    hidden = np.dstack([astronaut, np.zeros(astronaut.shape[:2], np.uint8)])
    after = np.asarray(anonymizer(Image.fromarray(hidden)))
    assert (after[FACE][..., :3] != astronaut[FACE]).any(axis=2).mean() > 0.9
    assert (after[..., 3] == 0).all()


def test_even_transparency_is_neither_searched_nor_changed() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    half = np.full((40, 40), 128, np.uint8)
    face = Detections("face", np.array([[5, 5, 30, 30]]), np.array([0.9]))
    assert len(views(image, None)) == len(views(image, half)) == 1
    assert np.array_equal(covered(half, list(regions(face))), half)


def test_alpha_is_covered_in_the_face_and_exact_outside_of_it() -> None:
    alpha = np.random.default_rng(0).integers(0, 256, (80, 80), dtype=np.uint8)
    after = covered(alpha, list(regions(Detections("face", np.array([[20, 20, 40, 40]]), np.array([0.9])))))
    assert (after[22:38, 22:38] != alpha[22:38, 22:38]).mean() > 0.9
    assert np.array_equal(after[:, 60:], alpha[:, 60:])


def test_views_over_grounds_are_what_a_viewer_shows(astronaut: np.ndarray) -> None:
    alpha = np.asarray(Image.linear_gradient("L").resize((512, 512)))
    picture = Image.fromarray(np.dstack([astronaut, alpha]))
    _, white, black, *_ = views(astronaut, alpha)
    for view, ground in ((white, "white"), (black, "black")):
        shown = Image.new("RGBA", picture.size, ground)
        shown.alpha_composite(picture)
        assert np.abs(view.astype(int) - np.asarray(shown.convert("RGB"))).max() <= 1
