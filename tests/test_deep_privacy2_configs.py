"""The anonymizers of DeepPrivacy2: what they need, and what becomes of each kind of thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp2.anonymizer import Anonymizer, load_anonymizer
from dp2.config import build, load_config
from dp2.errors import MissingWeights
from dp2.types import FACE, PERSON, PERSON_SURFACE, VEHICLE, Detections, Frame
from dp2.weights.needs import weights_of
from dp2.weights.registry import entries

MASK, CSE = "mask_rcnn/X101", "cse/R101_DL_soft"
NOCSE, SURFACE = "fdh/styleganL_nocse", "fdh/styleganL"
NEEDS = {
    "FB_nocse": {MASK, NOCSE},
    "FB_cse": {MASK, CSE, SURFACE},
    "FB_cse_mask": {MASK, CSE, SURFACE, NOCSE},
    "FB_cse_mask_face": {MASK, CSE, SURFACE, NOCSE, "dsfd", "fdf/stylegan"},
    "FB_triagan": {MASK, "vitpose/huge", "fdh/triagan/L_im288"},
    "deep_privacy1": {"dsfd", "torchvision/keypoint_rcnn", "fdf/deep_privacy1"},
    "market1501/person": {MASK, CSE, SURFACE, NOCSE, "dsfd"},
    "market1501/blackout": {MASK, CSE, "dsfd"},
    "market1501/pixelation8": {MASK, CSE, "dsfd"},
    "market1501/pixelation16": {MASK, CSE, "dsfd"},
}
REDACTING = ("market1501/blackout", "market1501/pixelation8", "market1501/pixelation16")


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without checkpoints and without a network."""
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DP2_OFFLINE", "1")
    monkeypatch.delenv("DP2_WEIGHTS", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", NEEDS)
def test_needs_are_known_before_anything_is_built(name: str) -> None:
    assert set(weights_of(name)) == NEEDS[name]


@pytest.mark.parametrize("name", NEEDS)
def test_without_weights_the_remedy_is_told(name: str, nothing_here: Path) -> None:
    with pytest.raises(MissingWeights, match="dp2 weights fetch"):
        load_anonymizer(name)


def test_generator_options_reach_the_generators() -> None:
    tree = load_config("FB_cse_mask", ["person_generator=a.py", "cse_person_generator=b.py"])
    assert tree.anonymizer.synthesizers.person.generator == "a.py"
    assert tree.anonymizer.synthesizers.person_surface.generator == "b.py"


def test_triagan_and_deep_privacy1_get_the_keypoints_that_they_need() -> None:
    import torch

    for name, kind, generator in (
        ("FB_triagan", PERSON, "configs/fdh/triagan/L_im288.py"),
        ("deep_privacy1", FACE, "configs/fdf/deep_privacy1.py"),
    ):
        synthesizer = load_config(name).anonymizer.synthesizers[kind]
        assert synthesizer.generator == generator
        with torch.device("meta"):
            conditions = build(load_config(generator).generator).conditions
        assert all(synthesizer.crop[condition] for condition in conditions)


def test_thresholds_of_market1501_are_the_published_ones() -> None:
    detector = load_config("market1501/person").detector
    assert detector.faces.score_threshold == 0.5
    assert detector.bodies.masks.score_threshold == 0.1
    assert detector.bodies.surfaces.score_threshold == 0.3


@pytest.fixture
def redacting(
    nothing_here: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    vouch: Callable[[pytest.MonkeyPatch, Path, Path], None],
) -> Callable[[str], Anonymizer]:
    """Anonymizers whose detectors have checkpoints that nobody reads, since detections are given."""
    known = entries()
    for name in (MASK, CSE, "dsfd"):
        (nothing_here / known[name].file).touch()
    vouch(monkeypatch, nothing_here, tmp_path / "home")
    return load_anonymizer


def rectangle(kind: str, x0: int, **more: Any) -> Detections:
    """A thing of 30 × 60 pixels."""
    masks = np.zeros((1, 80, 200), bool)
    masks[0, 10:70, x0 : x0 + 30] = True
    return Detections(kind, [[x0, 10, x0 + 30, 70]], [0.9], masks=masks, **more)


@pytest.mark.parametrize("name", REDACTING)
def test_everybody_and_everything_is_covered(name: str, redacting: Callable[[str], Anonymizer]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (80, 200, 3), np.uint8)
    found = (
        rectangle(FACE, 5).with_(masks=None),
        rectangle(VEHICLE, 55),
        rectangle(PERSON, 105),
        rectangle(PERSON_SURFACE, 155, surface=np.ones((1, 3, 4, 4), np.float32)),
    )

    def given(frames: Sequence[Frame]) -> list[tuple[Detections, ...]]:
        return [found] * len(frames)

    (result,) = redacting(name).process([Frame(image)], track=False, detect=given)
    changed = (result.image != image).any(axis=2)
    for x0 in (5, 55, 105, 155):
        assert changed[12:68, x0 + 2 : x0 + 28].mean() > 0.95
    assert dict(result.fallback) == {FACE: 1}
    assert sum(result.changed.values()) == 4
    assert np.array_equal(result.image[:, 90:98], image[:, 90:98])
