"""Detectors by R-CNNs and ViTPose, on small networks whose weights come through files."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from dp2.detect.people import densepose_cse, keypoint_rcnn, mask_rcnn, person_keypoints, posed_people
from dp2.detect.people.rcnn import never_empty
from dp2.errors import CheckpointMismatch, MissingWeights, UsageError
from dp2.models.rcnn.roi_heads import Selection
from dp2.stages import Detector
from dp2.types import PERSON, PERSON_SURFACE, VEHICLE, Detections, Image, Origin

DATA = Path(__file__).resolve().parents[1] / "fixtures"
NAMES = ("mask_rcnn", "densepose_cse", "keypoint_rcnn")


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_rcnn_cases", DATA / "make_rcnn_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def frames(make: ModuleType) -> list[Image]:
    """Smooth noise in which the small networks find something: two landscapes and a portrait."""
    return [frame.permute(1, 2, 0).contiguous().numpy() for frame in make.frames()]


@pytest.fixture
def detector(make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A detector of a name with a small network; frames are not enlarged, which would take seconds."""

    def build(name: str, **settings: Any) -> Any:
        small = make.small(name)
        path = make.write_pickle(tmp_path / f"{name}.pkl", make.seeded(small), stale=False)
        resize = make.resize_shortest_edge
        monkeypatch.setattr("dp2.models.rcnn.base.resize_shortest_edge", lambda image: resize(image, 96, 160))
        monkeypatch.setattr("dp2.detect.people.mask_rcnn._build", lambda: make.small("mask_rcnn"))
        monkeypatch.setattr("dp2.detect.people.keypoint_rcnn._build", lambda: make.small("keypoint_rcnn"))
        monkeypatch.setattr(densepose_cse.DensePoseCSE, "_build", lambda self: make.small("densepose_cse"))
        kinds = {
            "mask_rcnn": mask_rcnn.MaskRCNN,
            "densepose_cse": densepose_cse.DensePoseCSE,
            "keypoint_rcnn": keypoint_rcnn.KeypointMaskRCNN,
        }
        return kinds[name](device="cpu", weights=str(path), **settings)

    return build


@pytest.mark.parametrize("name", NAMES)
def test_finds_what_its_network_finds(
    name: str, detector: Callable[..., Any], make: ModuleType, frames: list[Image]
) -> None:
    network = make.small(name)
    network.load_state_dict(make.seeded(network))
    # The small Mask R-CNN sees vehicles only
    classes, threshold, more = ((2, 3, 5, 7), 0.05, {"kinds": [VEHICLE]}) if name == "mask_rcnn" else (None, 0.3, {})
    with torch.inference_mode():
        selection = Selection(score_threshold=threshold, classes=classes)
        expected = network.eval()(make.images(name), make.SIZES, selection)
    found = detector(name, score_threshold=threshold, **more)(frames)
    assert sum(len(people) for (people,) in found) > 0
    for (ours,), theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.boxes, theirs.boxes.float(), atol=0.02)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
        if name == "keypoint_rcnn":
            np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=0.7)
        if name == "densepose_cse":
            # A pixel on the border may fall to either side: the detector's network is rewritten for speed
            assert (ours.surface[:, -1] != theirs.body.numpy()).mean(axis=(1, 2)).max(initial=0) <= 1e-3
            np.testing.assert_allclose(ours.surface[:, :-1], theirs.embedding, atol=1e-3)
            assert np.array_equal(ours.surface_boxes, ours.boxes)
        assert ours.masks.any(axis=(1, 2)).all()


@pytest.mark.parametrize("name", NAMES)
def test_relaxed_threshold_adds_only_weak_rows(name: str, detector: Callable[..., Any], frames: list[Image]) -> None:
    sure = detector(name, score_threshold=0.5)
    for (strict,), (relaxed,) in zip(sure(frames), sure(frames, relax=0.5), strict=True):
        assert (relaxed.scores >= 0.25).all()
        assert ((relaxed.origins == Origin.WEAK) == (relaxed.scores < 0.5)).all()
        assert len(relaxed) >= len(strict)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_used_when_asked_for_and_finds_the_same(
    name: str, detector: Callable[..., Any], frames: list[Image], halved: list[torch.dtype]
) -> None:
    more = {"kinds": [VEHICLE], "score_threshold": 0.05} if name == "mask_rcnn" else {"score_threshold": 0.3}
    plain = detector(name, **more)(frames)
    assert set(halved) == {torch.float32}
    halved.clear()
    half = detector(name, amp=True, **more)(frames)
    assert torch.float16 in halved
    for (ours,), (theirs,) in zip(half, plain, strict=True):
        assert abs(len(ours) - len(theirs)) <= 1 + len(theirs) // 20  # one at the threshold may cross it
        np.testing.assert_allclose(ours.scores[:3], theirs.scores[:3], atol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_json_and_tell_thresholds_apart(name: str, detector: Callable[..., Any]) -> None:
    one, other = (json.dumps(detector(name, score_threshold=value).settings) for value in (0.3, 0.4))
    assert one != other


def test_vehicles_come_under_their_own_kind(detector: Callable[..., Any], frames: list[Image]) -> None:
    both = detector("mask_rcnn", kinds=[PERSON, VEHICLE], score_threshold=0.05)
    assert both.kinds == (PERSON, VEHICLE)
    found = both(frames)
    assert [[part.kind for part in parts] for parts in found] == [[PERSON, VEHICLE]] * 3
    assert sum(len(vehicles) for _, vehicles in found) > 0
    (people,) = detector("mask_rcnn", score_threshold=0.05)(frames)[0]
    assert np.array_equal(people.scores, found[0][0].scores)


def test_region_without_a_pixel_is_its_box() -> None:
    masks = np.zeros((2, 10, 10), bool)
    masks[0, 3, 3] = True
    filled = never_empty(masks, np.array([[0, 0, 9, 9], [2.5, 1, 4.2, 3]], np.float32))
    assert filled[0].sum() == 1
    assert filled[1].sum() == 2 * 3
    assert not masks[1].any()


def test_bodies_are_shown_in_the_frame_as_the_network_shows_them(make: ModuleType, tmp_path: Path) -> None:
    from dp2.models.rcnn.densepose_cse import body_masks

    network = make.loaded("densepose_cse", tmp_path)
    with torch.inference_mode():
        found = network(make.images("densepose_cse"), make.SIZES, make.SELECTION)[0]
    ours = densepose_cse.body_masks(found.body.numpy(), found.boxes.numpy(), make.SIZES[0])
    theirs = body_masks(found, make.SIZES[0]).numpy()
    some = theirs.any(axis=(1, 2))
    assert some.any()
    assert np.array_equal(ours[some], theirs[some])


@pytest.mark.parametrize(
    ("build", "weights"),
    [
        (mask_rcnn.MaskRCNN, "mask_rcnn/X101"),
        (densepose_cse.DensePoseCSE, "cse/R101_DL_soft"),
        (keypoint_rcnn.KeypointMaskRCNN, "keypoint_mask_rcnn/R50"),
        (person_keypoints.PersonKeypoints, "torchvision/keypoint_rcnn"),
    ],
)
def test_missing_weights_are_named_before_any_work(
    build: Callable[..., Any], weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DP2_HOME", str(tmp_path))
    monkeypatch.setenv("DP2_OFFLINE", "1")
    monkeypatch.delenv("DP2_WEIGHTS", raising=False)
    with pytest.raises(MissingWeights, match=f"dp2 weights fetch {weights}"):
        build()


def test_checkpoint_of_another_network_is_refused(detector: Callable[..., Any], tmp_path: Path, frames: Any) -> None:
    detector("keypoint_rcnn")
    swapped = mask_rcnn.MaskRCNN(device="cpu", weights=str(tmp_path / "keypoint_rcnn.pkl"))
    with pytest.raises(CheckpointMismatch):
        swapped(frames)


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="plate"):
        mask_rcnn.MaskRCNN(kinds=["plate"])
    with pytest.raises(UsageError, match="nothing"):
        mask_rcnn.MaskRCNN(kinds=[])
    with pytest.raises(UsageError, match="R51"):
        densepose_cse.DensePoseCSE(backbone="R51")
    with pytest.raises(UsageError, match="score_threshold"):
        keypoint_rcnn.KeypointMaskRCNN(score_threshold=2)


class Given:
    """A detector that finds the same in every frame."""

    settings: dict[str, Any] = {"detector": "Given"}  # noqa: RUF012

    def __init__(self, *found: Detections) -> None:
        self.found = found
        self.kinds = tuple(part.kind for part in found)

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        return [self.found] * len(images)


def test_given_fits_the_protocol() -> None:
    assert isinstance(Given(Detections.empty(PERSON)), Detector)


@pytest.fixture
def pose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., posed_people.PosedPeople]:
    from dp2.models import vit_pose

    small = vit_pose.Size(16, 1, 2, decoder_channels=8)
    torch.manual_seed(1)
    state = vit_pose.ViTPose(small).state_dict()
    torch.save({"state_dict": state}, tmp_path / "pose.pth")
    monkeypatch.setattr(vit_pose, "BASE", small)
    return lambda people, **more: posed_people.PosedPeople(
        people, model="base", device="cpu", weights=str(tmp_path / "pose.pth"), **more
    )


def test_pose_in_half_precision_is_about_the_same(pose: Any, halved: list[torch.dtype]) -> None:
    people = Detections(PERSON, np.array([[5, 10, 45, 70]], np.float32), [0.9])
    image = np.random.default_rng(0).integers(0, 255, (80, 60, 3), np.uint8)
    ((plain,),) = pose(Given(people))([image])
    assert torch.float16 not in halved
    ((half,),) = pose(Given(people), amp=True)([image])
    assert torch.float16 in halved
    np.testing.assert_allclose(half.keypoints[..., 2], plain.keypoints[..., 2], atol=0.01)


def test_each_person_gets_a_pose_within_the_surroundings_of_its_mask(pose: Any) -> None:
    from dp2.models.vit_pose import surrounding

    masks = np.zeros((2, 80, 60), bool)
    masks[0, 10:70, 5:25], masks[1, 20:60, 30:55] = True, True
    boxes = np.array([[0, 0, 59, 79], [28, 18, 58, 62]], np.float32)
    people = Detections(PERSON, boxes, [0.9, 0.8], masks=masks)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (80, 60, 3), np.uint8)
    posed = pose(Given(Detections.empty(VEHICLE), people))
    (vehicles, found), (_, again) = posed([image, image])
    assert len(vehicles) == 0
    assert found.keypoints.shape == (2, 17, 3)
    for points, box in zip(found.keypoints, ((5, 10, 25, 70), (30, 20, 55, 60)), strict=True):
        left, top, right, bottom = surrounding(box)
        assert (points[:, :2] >= (left, top)).all()
        assert (points[:, :2] <= (right, bottom)).all()
    np.testing.assert_allclose(again.keypoints, found.keypoints, atol=1e-3)


def test_nobody_needs_no_pose(pose: Any) -> None:
    ((people,),) = pose(Given(Detections.empty(PERSON)))([np.zeros((8, 8, 3), np.uint8)])
    assert people.keypoints.shape == (0, 17, 3)


def test_poses_need_a_detector_of_people() -> None:
    with pytest.raises(UsageError, match=PERSON):
        posed_people.PosedPeople(Given(Detections.empty(PERSON_SURFACE)))
    with pytest.raises(UsageError, match="tiny"):
        posed_people.PosedPeople(Given(Detections.empty(PERSON)), model="tiny")
