from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision import ops

from dp2.geometry.nms import nms, suppress
from dp2.types import Detections, Origin


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(0, 40))
    corner = rng.uniform(-20, 80, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 60, (count, 2))], 1).astype(np.float32)
    return boxes, rng.permutation(count).astype(np.float32) / max(count, 1)


@given(scored_boxes(), st.floats(0.1, 0.9))
def test_suppression_equals_torchvisions(case: tuple[NDArray[np.float32], NDArray[np.float32]], iou: float) -> None:
    boxes, scores = case
    expected = ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou)
    np.testing.assert_array_equal(nms(boxes, scores, iou), expected.numpy())


def test_box_inside_another_goes_when_the_smaller_area_counts() -> None:
    boxes = np.array([[0, 0, 100, 100], [40, 40, 60, 60]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert nms(boxes, scores, 0.7).tolist() == [0, 1]
    assert nms(boxes, scores, 0.7, over="smaller").tolist() == [0]


def test_keypoints_follow_their_box() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [1, 0, 11, 10]], np.float32)
    keypoints = np.arange(3 * 5 * 3, dtype=np.float32).reshape(3, 5, 3)
    kept = suppress(Detections("face", boxes, np.array([0.3, 0.5, 0.4]), keypoints=keypoints), 0.3)
    np.testing.assert_array_equal(kept.boxes, boxes[[1, 2]])
    np.testing.assert_array_equal(kept.keypoints, keypoints[[1, 2]])


@pytest.mark.parametrize("weak_score", [0.1, 0.9])
def test_weak_row_never_suppresses_a_sure_one(weak_score: float) -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10]], np.float32)
    origin = np.array([Origin.WEAK, Origin.DETECTED])
    kept = suppress(Detections("face", boxes, np.array([weak_score, 0.5]), origin=origin), 0.3)
    assert kept.origins.tolist() == [Origin.DETECTED]
