"""Faces for dp2's own generator: real faces cut by `dp2 dataset build`, varied."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dp2.data.builder.run import build_dataset
from dp2.data.builder.settings import BuildSettings
from dp2.data.portrait.faces import PortraitFaces
from dp2.data.portrait.light import photographed
from dp2.data.portrait.scene import before, cut_scene, drawn_scene
from dp2.data.portrait.warp import Spread, draw
from dp2.errors import DatasetError


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of the two faces in media/, one a group."""
    root = tmp_path_factory.mktemp("faces")
    media = Path(__file__).parents[2] / "media"
    for group, name in (("women", "astronaut.jpg"), ("men", "grace_hopper.jpg")):
        (root / "photos" / group).mkdir(parents=True)
        Image.open(media / name).convert("RGB").save(root / "photos" / group / "face.png")
    build_dataset([root / "photos"], root / "set", BuildSettings(validation=0.0))
    return root / "set"


def test_a_group_weighs_as_much_as_is_said(built: Path):
    faces = PortraitFaces(folder=built, resolution=(32, 32), variants=2, group_variants={"men": 5})
    assert len(faces) == 7


def test_samples_hold_what_the_generator_is_told(built: Path):
    faces = PortraitFaces(folder=built, resolution=(64, 64), variants=2)
    sample = faces.sample(0, np.random.default_rng(0))
    assert sample.image.shape == (3, 64, 64)
    assert sample.keypoints is not None
    assert sample.keypoints.shape == (5, 3)
    assert 0.15 < 1 - sample.mask.float().mean() < 0.75
    hole = ~sample.mask[0].numpy()
    eyes = (sample.keypoints[:2, :2].numpy() * 64).astype(int)
    assert all(hole[y, x] for x, y in eyes)
    assert sample.tone is not None
    assert sample.tone.abs().max() <= 1


def test_the_same_chance_gives_the_same_sample_in_whatever_order(built: Path):
    first, second = (PortraitFaces(folder=built, resolution=(32, 32), variants=3, keep=keep) for keep in (True, False))
    first.sample(2, np.random.default_rng(1))
    for index in (4, 0, 4):
        one, two = (faces.sample(index, np.random.default_rng(9)) for faces in (first, second))
        assert one.image.equal(two.image)
        assert one.mask.equal(two.mask)


def test_without_variants_nothing_is_changed(built: Path):
    faces = PortraitFaces(folder=built, resolution=(64, 64), variants=0)
    assert len(faces) == 2
    one, two = (faces.sample(0, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.image.equal(two.image)
    assert one.mask.equal(two.mask)


def test_no_set_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match="dataset build"):
        PortraitFaces(folder=tmp_path)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_landmarks_move_with_the_picture(seed: int, mirrored: bool):
    """A white spot in the portrait lies where the warp says its landmark lies."""
    rng = np.random.default_rng(seed)
    box = np.array([60.0, 50.0, 140.0, 160.0])
    spot = rng.uniform((75, 70), (125, 140))
    portrait = np.zeros((220, 200, 3), np.uint8)
    cv2.circle(portrait, (round(spot[0]), round(spot[1])), 3, (255, 255, 255), -1)
    warp = draw(box, 128, Spread(), rng, mirrored=mirrored)
    crop = warp.picture(portrait, 128).sum(2).astype(np.float64)
    place = warp.points(np.round(spot)[None] + 0.5)[0]
    if not (place.min() > 8 and place.max() < 120):
        return
    y, x = (np.mgrid[:128, :128] + 0.5) * crop / max(crop.sum(), 1)
    assert abs(x.sum() - place[0]) < 1.5
    assert abs(y.sum() - place[1]) < 1.5


def test_a_portrait_photographed_anew_is_another_picture_of_the_same_size():
    portrait = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    made = [photographed(portrait, np.random.default_rng(seed)) for seed in range(30)]
    assert all(one.shape == portrait.shape and one.dtype == np.uint8 for one in made)
    assert len({one.tobytes() for one in made}) > 20
    assert np.array_equal(made[3], photographed(portrait, np.random.default_rng(3)))


def test_a_person_before_something_else_keeps_the_inside_and_nothing_of_the_old_wall():
    side = 64
    y, x = np.mgrid[:side, :side] - side / 2
    distance = np.hypot(x, y)
    cover = np.clip((22 - distance) / 4, 0, 1).astype(np.float32)
    person, wall = np.array([200.0, 120, 90]), np.array([0.0, 255, 0])
    photo = (cover[..., None] * person + (1 - cover[..., None]) * wall).astype(np.uint8)
    scene = np.full((side, side, 3), (30, 30, 200), np.uint8)
    made = before(photo, cover, scene)
    assert np.array_equal(made[distance < 15], photo[distance < 15])
    assert np.array_equal(made[distance > 24], scene[distance > 24])
    assert made[..., 1].max() <= 127, "what counts as solid is green from the wall by a twentieth, nothing by more"


def test_scenes_are_many_and_follow_from_chance():
    scenes = [drawn_scene(40, np.random.default_rng(seed)) for seed in range(24)]
    assert all(scene.shape == (40, 40, 3) and scene.dtype == np.uint8 for scene in scenes)
    assert len({scene.tobytes() for scene in scenes}) == 24
    assert np.ptp([scene.mean() for scene in scenes]) > 80
    assert np.array_equal(scenes[5], drawn_scene(40, np.random.default_rng(5)))


def test_part_of_another_picture_is_cut_at_the_right_size():
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    assert cut_scene(picture, 32, np.random.default_rng(1)).shape == (32, 32, 3)


def test_people_are_put_elsewhere_where_a_matte_is_given(built: Path):
    class Left:
        """Takes the left half for the person."""

        def soft(self, image: np.ndarray) -> np.ndarray:
            half = np.zeros(image.shape[:2], np.float32)
            half[:, : image.shape[1] // 2] = 1
            return half

    settings = {"folder": built, "resolution": (64, 64), "variants": 1}
    stays, moves = PortraitFaces(**settings), PortraitFaces(**settings, matte=Left, elsewhere=1.0)
    one, two = (faces.sample(0, np.random.default_rng(4)) for faces in (stays, moves))
    assert one.keypoints.equal(two.keypoints)
    assert not one.image.equal(two.image)
