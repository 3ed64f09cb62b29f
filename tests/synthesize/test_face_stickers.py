"""Pictures over faces: in the right place, the same one for the same person, and nothing of the face beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.errors import UsageError
from dp2.paint.paint import paint
from dp2.synthesize.face_stickers import FaceSticker, FaceStickers, placement
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction
from dp2.types import Region

GREEN = Redaction(fill=Solid(color="#00ff00"), shape="ellipse", mask_scale=1.3)
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three discs of one colour each."""
    place = tmp_path / "pictures"
    place.mkdir()
    y, x = np.mgrid[:64, :64]
    for name, colour in COLOURS.items():
        disc = np.zeros((64, 64, 4), np.uint8)
        disc[(x - 32) ** 2 + (y - 32) ** 2 < 24**2] = (*colour, 255)
        Image.fromarray(disc).save(place / f"{name}.png")
    return place


def face(identity: int, x: float = 60, turned: float = 0.0) -> Region:
    """40 × 50 pixels, the eyes `turned` pixels up on the right."""
    points = np.array([[x + 10, 60], [x + 30, 60 - turned], [x + 20, 70], [x + 12, 80], [x + 28, 80]])
    keypoints = np.concatenate([points, np.ones((5, 1))], 1).astype(np.float32)
    return Region("face", np.array([x, 40, x + 40, 90], np.float32), 0.9, identity, keypoints=keypoints)


def painted(stickers: FaceStickers, *regions: Region) -> np.ndarray:
    canvas = np.full((160, 400, 3), 120, np.uint8)
    (result,) = paint([canvas], [list(regions)], {"face": stickers}, GREEN, seed=0)
    assert all(outcome.action is outcome.Action.CHANGED for outcome in result.outcomes)
    return result.image


def test_each_person_has_a_picture_of_his_own_and_keeps_it(folder: Path) -> None:
    stickers = FaceStickers(folder=folder, under=GREEN)
    first = [tuple(painted(stickers, face(number))[65, 80]) for number in range(6)]
    assert set(first[:3]) == set(COLOURS.values())
    assert first[3:] == first[:3]
    moved = painted(stickers, face(1, x=200))
    assert tuple(moved[65, 220]) == first[1]
    assert (
        FaceStickers(folder=folder, under=GREEN, seed=0)._stickers[0].pixels.sum() == stickers._stickers[0].pixels.sum()
    )


def test_beside_the_picture_the_face_is_redacted_and_outside_nothing_changes(folder: Path) -> None:
    image = painted(FaceStickers(folder=folder, under=GREEN), face(0))
    assert tuple(image[92, 80]) == (0, 255, 0)  # below the disc, within the ellipse
    assert (image[:, :20] == 120).all()
    assert (image[:, 150:] == 120).all()


def test_eyes_come_over_eyes() -> None:
    eyes = np.array([[20, 30], [40, 30]], np.float32)
    sticker = FaceSticker(
        np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.float32), np.array([10, 10, 50, 60], np.float32), eyes
    )
    for turned in (0.0, 8.0, -8.0):
        region = face(0, turned=turned)
        matrix = placement(sticker, region)
        laid = np.column_stack([eyes, np.ones(2)]) @ matrix.T
        target = region.keypoints[:2, :2]
        assert np.allclose(laid.mean(axis=0), target.mean(axis=0))
        across, along = laid[1] - laid[0], target[1] - target[0]
        assert abs(across[0] * along[1] - across[1] * along[0]) < 1e-3 * np.linalg.norm(across) * np.linalg.norm(along)


def test_at_the_border_and_without_landmarks_the_face_is_covered_too(folder: Path) -> None:
    bare = Region("face", np.array([-20, -20, 20, 30], np.float32), 0.9, 0)
    image = painted(FaceStickers(folder=folder, under=GREEN), bare)
    assert not (image[:20, :10] == 120).all(axis=2).any()


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pictures"):
        FaceStickers(folder=tmp_path)
