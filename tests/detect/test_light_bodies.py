"""Masks of people: nothing of a person is left out, whatever the matte says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage

from dp2.anonymizer import load_anonymizer
from dp2.detect.people.light_bodies import LightBodies
from dp2.detect.people.matte import SIDE, SelfieMatte, cut, paste, safe_mask, window_of
from dp2.detect.people.yolox import Yolox
from dp2.errors import MissingWeights, UnreadableCheckpoint, UsageError
from dp2.types import FACE, PERSON, VEHICLE, Detections, Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_weights = pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="../shared/data/weights is not there")
BOX = (64.0, 32.0, 192.0, 224.0)


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DP2_WEIGHTS", str(SHARED / "weights"))


def person() -> np.ndarray:
    """A matte of someone who fills `BOX` from top to bottom and, with his arms, from left to right."""
    matte = np.zeros((SIDE, SIDE), np.float32)
    matte[32:224, 104:152] = 1
    matte[80:100, 64:192] = 1
    return matte


def masked(matte: np.ndarray) -> np.ndarray:
    return safe_mask(matte, BOX, threshold=0.1, least_share=0.15)


def test_good_matte_is_kept_with_a_margin_and_no_more() -> None:
    mask = masked(person())
    assert mask[person() > 0].all()
    assert mask[32:224, 64:192].mean() < 0.6


def test_unsure_pixels_count_as_the_persons() -> None:
    matte = person()
    matte[150:180, 160:180] = 0.15
    assert masked(matte)[150:180, 160:180].all()


def test_legs_that_the_matte_lost_are_covered_across_the_box() -> None:
    matte = person()
    matte[150:] = 0
    assert masked(matte)[150:210, 64:192].all()


def test_arm_that_the_matte_lost_is_covered_along_the_box() -> None:
    matte = person()
    matte[:, 152:] = 0
    assert masked(matte)[32:224, 156:180].all()


def test_hand_that_swings_beside_the_body_is_covered_where_the_matte_overlooks_it() -> None:
    matte = np.zeros((SIDE, SIDE), np.float32)
    matte[32:224, 120:136] = 1
    matte[200:224, 64:192] = 1  # feet apart
    matte[60:90, 80:176] = 1  # upper arms
    hand = np.s_[130:150, 75:95]
    assert not masked(matte)[hand].any()
    mask = safe_mask(matte, BOX, threshold=0.1, least_share=0.15, convex=True)
    assert mask[hand].all()
    assert not mask[32:45, 64:80].any()  # beside the head


@pytest.mark.parametrize("level", [0.0, 0.05])
def test_matte_that_finds_nobody_gives_the_whole_box(level: float) -> None:
    matte = np.full((SIDE, SIDE), level, np.float32)
    matte[100:110, 100:110] = 1
    assert masked(matte)[32:224, 64:192].all()


def test_head_above_a_box_that_is_too_low_is_covered() -> None:
    matte = person()
    matte[5:32, 118:138] = 1
    assert masked(matte)[5:32, 118:138].all()


def test_somebody_beside_the_box_is_left_to_his_own_box() -> None:
    matte = person()
    matte[:, 230:] = 1
    assert not masked(matte)[:, 230:].any()


@given(
    corner=st.tuples(st.integers(-200, 350), st.integers(-200, 250)),
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
)
def test_box_pasted_back_covers_every_pixel_it_touches(corner: tuple[int, int], size: tuple[int, int]) -> None:
    height, width = 240, 320
    box = np.array([*corner, corner[0] + size[0], corner[1] + size[1]], np.float32)
    target = np.zeros((height, width), bool)
    window = window_of(box, height, width)
    paste(target, safe_mask(np.zeros((SIDE, SIDE), np.float32), window.inner, threshold=0.1, least_share=0.15), window)
    x0, y0, x1, y1 = np.clip(box, 0, [width, height, width, height]).astype(int)
    assert target[y0:y1, x0:x1].all()


@given(x=st.integers(-40, 300), y=st.integers(-40, 220), side=st.integers(8, 500))
def test_mask_pasted_back_covers_what_was_cut_out(x: int, y: int, side: int) -> None:
    """A frame that is bright in one place: where the crop is bright, the frame is masked."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[90:150, 140:180] = 255
    window = window_of(np.array([x, y, x + side, y + side], np.float32), 240, 320)
    if not window.longer:
        return
    target = np.zeros((240, 320), bool)
    paste(target, cut(image, window)[..., 0] > 0, window)
    seen = np.zeros_like(target)
    seen[max(window.y, 0) : window.y + window.side, max(window.x, 0) : window.x + window.side] = True
    assert target[(image[..., 0] > 0) & seen].all()


class Boxes:
    """Finds what it is told."""

    def __init__(self, *found: Detections) -> None:
        self.found = found
        self.kinds = tuple(part.kind for part in found)
        self.settings = {"detector": "Boxes"}

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        return [self.found for _ in images]


@needs_weights
@pytest.mark.usefixtures("weights")
def test_only_people_get_masks_and_kinds_keep_their_order(city: Image) -> None:
    car = Detections(VEHICLE, np.array([[0, 0, 50, 50]], np.float32), np.ones(1, np.float32))
    people = Detections(PERSON, np.array([[300, 200, 400, 500], [5, 5, 20, 30]], np.float32), np.ones(2, np.float32))
    cars, found = LightBodies(Boxes(car, people), SelfieMatte(device="cpu"))([city])[0]
    assert cars is car
    assert found.masks is not None
    assert found.masks.shape == (2, *city.shape[:2])
    assert found.masks[1, 5:30, 5:20].all()


def test_detector_that_finds_no_people_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"")
    with pytest.raises(UsageError, match="person"):
        LightBodies(Boxes(Detections.empty(FACE)), SelfieMatte(weights=str(tmp_path / "m.tflite")))


def test_damaged_matte_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"not a network")
    matte = SelfieMatte(weights=str(tmp_path / "m.tflite"))
    with pytest.raises(UnreadableCheckpoint, match=r"m\.tflite: not a TensorFlow Lite file"):
        matte([np.zeros((100, 100, 3), np.uint8)], [np.array([[0, 0, 90, 90]], np.float32)])


@needs_weights
@pytest.mark.usefixtures("weights")
def test_mask_covers_the_segmented_person() -> None:
    """Against COCO's own polygons: of the people that were found, next to nothing stays visible."""
    file = SHARED / "people" / "coco_wholebody.json"
    detector = LightBodies(Yolox(device="cpu"), SelfieMatte(device="cpu"))
    shares = []
    for image, truth in annotated(file):
        (found,) = detector([image])[0]
        assert found.masks is not None
        covered = found.masks.any(axis=0)
        shares += [covered[person].mean() for person in truth if person.sum() > 40**2]
    assert len(shares) >= 8
    assert np.mean(shares) > 0.97


def annotated(file: Path) -> list[tuple[Image, list[np.ndarray]]]:
    """Pictures with the (H, W) bool polygons of their people."""
    from PIL import ImageDraw

    content = json.loads(file.read_text())
    pairs = []
    for picture in content["images"]:
        with PilImage.open(file.parent / picture["file_name"]) as opened:
            image = np.asarray(opened.convert("RGB"))
        people = []
        for row in content["annotations"]:
            if row["image_id"] != picture["id"] or not isinstance(row.get("segmentation"), list):
                continue
            canvas = PilImage.new("1", image.shape[1::-1])
            for polygon in row["segmentation"]:
                ImageDraw.Draw(canvas).polygon(polygon, fill=1)
            people.append(np.asarray(canvas))
        pairs.append((image, people))
    return pairs


@needs_weights
@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("config", ["body_light", "body_light_blur"])
def test_light_configs_change_people_and_nothing_else(config: str, city: Image) -> None:
    anonymizer = load_anonymizer(config, device="cpu")
    result = anonymizer.anonymize(city)
    changed = (result.image != city).any(axis=2)
    (people,) = result.detections
    assert people.masks is not None
    assert changed[people.masks.any(axis=0)].mean() > 0.95
    assert not changed[:100].all()
    assert result.changed[PERSON] == len(people) >= 15


@pytest.mark.parametrize("config", ["body_light", "body_light_blur"])
def test_light_configs_without_weights_say_how_to_get_them(
    config: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DP2_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("DP2_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match="dp2 weights fetch yolox_nano"):
        load_anonymizer(config)
