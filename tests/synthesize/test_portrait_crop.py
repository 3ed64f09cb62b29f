"""What dp2's own generator is told of a face, and which faces it is not asked to paint."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.faces.conditions import oval, pose, tone
from dp2.synthesize.crops import Crop, sealed
from dp2.synthesize.portrait.crop import PortraitCrop
from dp2.synthesize.verifier import FaceVerifier
from dp2.types import Detections, Refusal, Region, Steady

_BOX = np.array([60, 40, 120, 120], np.float32)
_POINTS = np.array([[76, 70], [104, 70], [90, 85], [78, 100], [102, 100]], np.float32)


def _region(
    box: np.ndarray = _BOX, points: np.ndarray | None = _POINTS, score: float = 0.9, identity: int = 3
) -> Region:
    keypoints = None if points is None else np.concatenate([points, np.ones((len(points), 1))], 1).astype(np.float32)
    return Region("face", box.astype(np.float32), score, identity, keypoints=keypoints)


def _picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (160, 200, 3), np.uint8)


def _cut(canvas: np.ndarray, region: Region) -> Crop:
    crop = PortraitCrop(size=(64, 64))
    box = crop.box(region, *canvas.shape[:2])
    assert not isinstance(box, Refusal)
    return sealed(crop, canvas, crop.cut(canvas, region, box))


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_of_the_removed_pixels_only_a_coarse_tone_gets_through(seed: int):
    """Two faces of the same mean colour are the same to the generator, whatever they look like."""
    step = 24 / 127.5 + 8 * (1.402 + 0.714) / 127.5  # one of each part at most
    canvas, other = _picture(), _picture()
    inside = oval(_BOX.astype(np.float64), 200, 0.65)[:160]  # where the tone is taken from
    pixels = np.random.default_rng(seed).permutation(np.flatnonzero(inside))
    other.reshape(-1, 3)[np.flatnonzero(inside)] = canvas.reshape(-1, 3)[pixels]
    one, two = _cut(canvas, _region()), _cut(other, _region())
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.keep, two.keep)
    assert np.array_equal(one.conditions["keypoints"], two.conditions["keypoints"])
    assert np.abs(one.conditions["tone"] - two.conditions["tone"]).max() <= step


def test_the_tone_is_one_of_few():
    box = np.array([1.0, 1, 7, 7])
    tones = {tuple(tone(np.full((8, 8, 3), level, np.uint8), box).round(3)) for level in range(256)}
    assert len(tones) <= 17  # 256 levels of grey in steps of 16


def test_landmarks_are_moved_alike_on_a_track_and_otherwise_for_another_person():
    same = _cut(_picture(0), _region()).conditions["keypoints"]
    later = _cut(_picture(1), _region()).conditions["keypoints"]
    another = _cut(_picture(0), _region(identity=4)).conditions["keypoints"]
    exact = (_POINTS - (34, 24)) / 112
    assert np.array_equal(same, later)
    assert not np.array_equal(same, another)
    assert 0 < np.abs(same[:, :2] - exact).max() < 0.06


def _tracked(region: Region, box: np.ndarray = _BOX, score: float = 0.9) -> Region:
    return replace(region, steady=Steady(box.astype(np.float32), score, _region().keypoints))


def test_on_a_track_its_score_and_pose_decide():
    crop = PortraitCrop(size=(64, 64), surest=0.35)
    profile = _POINTS + np.array([[0], [0], [22], [0], [0]]) * (1, 0)
    for doubtful in (_region(score=0.1), _region(points=profile)):
        assert isinstance(crop.box(doubtful, 160, 200), Refusal)
        assert not isinstance(crop.box(_tracked(doubtful), 160, 200), Refusal)
    answer = crop.box(_tracked(_region(), score=0.2), 160, 200)
    assert isinstance(answer, Refusal)
    assert "doubtful" in answer.reason


def test_a_box_that_trembles_moves_no_crop():
    crop = PortraitCrop(size=(64, 64))
    boxes = {crop.box(_tracked(_region(box=_BOX + shift)), 160, 200) for shift in (-2, -1, 0, 1, 2)}
    assert len(boxes) == 1
    points = [_cut(_picture(), _tracked(_region(box=_BOX + shift))).conditions["keypoints"] for shift in (-2, 2)]
    assert np.array_equal(*points)


@settings(deadline=None)
@given(st.lists(st.floats(-25, 25), min_size=4, max_size=4))
def test_the_hole_covers_the_box_of_the_frame_wherever_the_track_shows_it(shift: list[float]):
    own = _BOX + np.array(shift, np.float32)
    crop = PortraitCrop(size=(128, 128))
    region = _tracked(_region(box=own, points=_POINTS + np.array(shift[:2])))
    box = crop.box(region, 160, 200)
    assert not isinstance(box, Refusal)
    keep = crop.cut(_picture(), region, box).keep
    scale = 128 / (box[2] - box[0])
    oval_of_box = oval((own - np.tile(box[:2], 2)) * scale, 128, 1.0)
    assert not (keep & oval_of_box).any()
    assert keep[0].all()
    assert keep[:, 0].all()


def test_the_hole_covers_the_heart_of_the_box_and_stays_in_the_crop():
    keep = _cut(_picture(), _region()).keep
    assert not keep[20:44, 22:42].any()
    assert keep[0].all()
    assert keep[:, 0].all()


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (_region(points=None), "landmarks"),
        (_region(points=np.repeat(_POINTS[:1], 5, 0)), "no face"),
        (_region(points=_POINTS + np.array([[0], [0], [22], [0], [0]]) * (1, 0)), "profile"),
        (_region(points=_POINTS[[1, 0, 2, 4, 3]]), "upside down"),
        (_region(score=0.2), "doubtful"),
        (_region(box=np.array([60, 40, 64, 45]), points=_POINTS / 20), "pixels"),
    ],
)
def test_what_would_come_out_melted_is_refused(region: Region, reason: str):
    answer = PortraitCrop(size=(64, 64), surest=0.35).box(region, 160, 200)
    assert isinstance(answer, Refusal)
    assert reason in answer.reason


def test_beyond_the_frame_the_picture_goes_on():
    canvas = np.full((160, 200, 3), 90, np.uint8)
    crop = _cut(canvas, _region(box=_BOX - (55, 0, 55, 0), points=_POINTS - (55, 0)))
    assert (crop.image == 90).all()


def test_pose_of_a_tilted_head():
    found = pose(_POINTS, _BOX)
    assert found is not None
    assert abs(found.yaw) < 0.1
    assert found.roll == 0
    angle = np.deg2rad(30)
    turned = (_POINTS - 90) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 90
    tilted = pose(turned, _BOX)
    assert tilted is not None
    assert tilted.roll == pytest.approx(30)
    assert tilted.yaw == pytest.approx(found.yaw, abs=1e-6)


class _Finds:
    """A detector that finds what it is told to."""

    kinds = ("face",)

    def __init__(self, *boxes: tuple[list[float], float]) -> None:
        self.boxes = boxes
        self.settings: dict[str, str] = {}

    def __call__(self, images, *, relax: float = 1.0):
        boxes, scores = [box for box, _ in self.boxes], [score for _, score in self.boxes]
        return [(Detections("face", np.array(boxes).reshape(-1, 4), np.array(scores)),) for _ in images]


@pytest.mark.parametrize(
    ("found", "fit"),
    [
        ([([16, 10, 48, 56], 0.8)], True),
        ([([16, 10, 48, 56], 0.3)], False),
        ([([0, 0, 12, 12], 0.9)], False),
        ([], False),
    ],
)
def test_what_shows_no_face_is_not_fit(found: list, fit: bool):
    keep = np.ones((64, 64), bool)
    keep[10:58, 14:50] = False
    crop = Crop(np.zeros((64, 64, 3), np.uint8), keep, (0, 0, 64, 64))
    judge = FaceVerifier(detector=_Finds(*found))
    assert judge([crop], [np.zeros((64, 64, 3), np.float32)]) == [fit]
