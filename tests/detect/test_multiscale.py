"""With a detector of known truth: it finds painted squares, but only those of sizes that it knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.detect.combine.multiscale import MultiScale
from dp2.detect.combine.union import Union
from dp2.detect.faces.centerface import CenterFace
from dp2.errors import DetectionError, UsageError
from dp2.types import Detections, Image, Origin


class Squares:
    """Finds white squares whose side, as it sees it, lies between `least` and `most` pixels."""

    def __init__(self, least: float = 8, most: float = 32, kind: str = "face", largest_frame: int = 10_000) -> None:
        self.kinds = (kind,)
        self.settings = {"detector": "Squares"}
        self.least, self.most, self.largest_frame = least, most, largest_frame

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        return [(self._find(image),) for image in images]

    def _find(self, image: Image) -> Detections:
        assert max(image.shape) <= self.largest_frame
        white = (image[:, :, 0] > 127).astype(np.uint8)
        stats = cv2.connectedComponentsWithStats(white)[2][1:]
        x, y, w, h = stats[:, 0], stats[:, 1], stats[:, 2], stats[:, 3]
        fits = (np.maximum(w, h) >= self.least) & (np.maximum(w, h) <= self.most)
        boxes = np.stack([x, y, x + w, y + h], 1)[fits].astype(np.float32)
        scores = 0.9 * (np.minimum(w, h) / np.maximum(w, h))[fits]
        keypoints = np.zeros((len(boxes), 5, 3), np.float32)
        keypoints[:, :, :2] = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        return Detections(self.kinds[0], boxes, scores, keypoints=keypoints)


def scene(width: int, height: int, squares: Sequence[tuple[int, int, int]]) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, side in squares:
        image[y : y + side, x : x + side] = 255
    return image


def assert_found(found: Detections, squares: Sequence[tuple[int, int, int]]) -> None:
    assert len(found) == len(squares)
    for x, y, side in squares:
        distance = np.abs(found.boxes - [x, y, x + side, y + side]).max(1)
        row = distance.argmin()
        assert distance[row] <= 4
        assert found.keypoints is not None
        np.testing.assert_allclose(found.keypoints[row, :, :2], np.full((5, 2), [x + side / 2, y + side / 2]), atol=4)


def test_squares_of_every_size_are_found_by_some_pass() -> None:
    squares = [(10, 10, 10), (100, 20, 30), (200, 10, 60), (300, 100, 120)]
    assert_found(MultiScale(Squares(), shortest=40)([scene(640, 300, squares)])[0][0], squares)


@settings(deadline=None)
@given(st.integers(0, 390), st.integers(0, 290), st.integers(10, 60))
def test_square_anywhere_is_found_once_across_all_seams(x: int, y: int, side: int) -> None:
    square = min(x, 400 - side), min(y, 300 - side), side
    detector = MultiScale(Squares(most=64, largest_frame=128), tile=128, overlap=64, scales=(1,))
    assert_found(detector([scene(400, 300, [square])])[0][0], [square])


def test_larger_than_the_overlap_is_found_whole_by_a_smaller_pass() -> None:
    detector = MultiScale(Squares(least=6, most=200, largest_frame=160), tile=160, overlap=40, shortest=80)
    square = (70, 90, 110)
    found = detector([scene(400, 300, [square])])[0][0]
    assert np.abs(found.boxes - [70, 90, 180, 200]).max(1).min() <= 4


def test_every_frame_of_a_batch_gets_its_own() -> None:
    scenes = [[(10, 10, 20)], [], [(50, 60, 16), (90, 10, 30)]]
    sizes = [(200, 150), (400, 300), (200, 150)]
    images = [scene(*size, squares) for size, squares in zip(sizes, scenes, strict=True)]
    for (found,), squares in zip(
        MultiScale(Squares(), shortest=100, tile=128, overlap=40)(images), scenes, strict=True
    ):
        assert_found(found, squares)


def test_scores_below_the_threshold_go_or_become_weak() -> None:
    image = scene(100, 100, [(10, 10, 20)])
    image[60:80, 60:90] = 255  # an oblong: score 0.6
    detector = MultiScale(Squares(), scales=(1,), score_threshold=0.8)
    assert len(detector([image])[0][0]) == 1
    assert detector([image], relax=0.5)[0][0].origins.tolist() == [Origin.DETECTED, Origin.WEAK]


@pytest.mark.parametrize(
    "wrong", [{"scales": ()}, {"scales": (0,)}, {"scales": "some"}, {"tile": 100, "overlap": 100}, {"nms_iou": 2}]
)
def test_wrong_argument_is_wrong_usage(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        MultiScale(Squares(), **wrong)


class Failing(Squares):
    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        raise DetectionError("the network failed")


@pytest.mark.parametrize("detector", [MultiScale(Failing()), Union([Squares(), Failing()])])
def test_failing_detector_fails_the_whole(detector: MultiScale | Union) -> None:
    with pytest.raises(DetectionError, match="the network failed"):
        detector([scene(100, 100, [])])


def test_union_finds_what_any_finds_once() -> None:
    squares = [(10, 10, 10), (50, 20, 20), (100, 20, 40)]
    union = Union([Squares(8, 24), Squares(16, 64)])
    assert_found(union([scene(200, 100, squares)])[0][0], squares)


def test_union_keeps_kinds_apart_and_in_order() -> None:
    union = Union([Squares(kind="plate"), Squares(kind="face"), Squares(kind="plate")])
    assert union.kinds == ("plate", "face")
    found = union([scene(100, 100, [(10, 10, 20)])])[0]
    assert [(part.kind, len(part)) for part in found] == [("plate", 1), ("face", 1)]


def test_union_leaves_out_keypoints_of_differing_number() -> None:
    class Plain(Squares):
        def _find(self, image: Image) -> Detections:
            return super()._find(image).with_(keypoints=None)

    image = scene(200, 100, [(10, 10, 10), (50, 20, 40)])
    assert Union([Squares(8, 24), Plain(30, 64)])([image])[0][0].keypoints is None


def test_union_of_nothing_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        Union([])


def test_half_size_pass_finds_the_face_that_fills_the_frame(astronaut: Image) -> None:
    close = cv2.resize(astronaut[40:220, 130:310], (1440, 1440), interpolation=cv2.INTER_CUBIC)
    found = MultiScale(CenterFace(device="cpu"))([close])[0][0].boxes
    assert ((found[:, 2:] - found[:, :2]).min(1) > 500).any()


def test_all_nineteen_of_the_group_are_found_in_tiles(regjeringen: Image) -> None:
    single = CenterFace(device="cpu", scale=1.0)([regjeringen])[0][0].boxes
    tiled = MultiScale(CenterFace(device="cpu"), tile=640, overlap=160, scales=(1,))([regjeringen])[0][0].boxes
    centres = (single[:, :2] + single[:, 2:]) / 2
    inside = (centres[:, None] > tiled[None, :, :2]) & (centres[:, None] < tiled[None, :, 2:])
    assert inside.all(2).any(1).all()
