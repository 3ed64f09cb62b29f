"""What painters are told of a face: its track around the frame, not the jitter of one detection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dp2.errors import UsageError
from dp2.track.tracker import Tracking
from dp2.types import FACE, PERSON, Detections, Origin, regions

_FACE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])  # landmarks in a box


def seen(box: Sequence[float], score: float = 0.8, kind: str = FACE, noise: np.ndarray | float = 0.0) -> Detections:
    corners = np.array(box, np.float32)
    points = corners[:2] + _FACE * (corners[2:] - corners[:2]) + noise
    keypoints = np.concatenate([points, np.full((5, 1), score)], 1)[None]
    origin = np.array([Origin.DETECTED if score >= 0.2 else Origin.WEAK], np.uint8)
    return Detections(kind, corners[None], np.array([score], np.float32), keypoints=keypoints, origin=origin)


def nobody() -> Detections:
    return Detections.empty(FACE)


def at(x: float) -> list[float]:
    return [x, 100, x + 40, 150]


def points(found: Detections) -> np.ndarray:
    assert found.steady is not None
    assert found.steady.keypoints is not None
    return found.steady.keypoints[0, :, :2]


def test_a_face_that_stands_still_trembles_far_less(track):
    rng = np.random.default_rng(0)
    out = track([seen(at(200) + rng.normal(0, 1, 4), noise=rng.normal(0, 1, (5, 2))) for _ in range(50)])
    steady = [points(found) for found in out]
    assert np.abs(np.diff(steady, axis=0)).mean() < 0.25 * np.abs(np.diff([f.keypoints for f in out], axis=0)).mean()
    boxes = np.stack([found.steady.boxes[0] for found in out])
    assert np.abs(np.diff(boxes, axis=0)).mean() < 0.25


@pytest.mark.parametrize("live", [False, True])
def test_a_face_that_moves_evenly_is_shown_where_it_is(track, live):
    out = track([seen(at(100 + 5 * n)) for n in range(40)], live=live)
    for found in out:
        assert np.allclose(found.steady.boxes, found.boxes, atol=0.01)
        assert np.allclose(points(found), found.keypoints[0, :, :2], atol=0.01)


def test_what_the_detector_saw_stays_as_it_was(track):
    given = [seen(at(200 + n % 3), score=0.5 + 0.1 * (n % 2)) for n in range(20)]
    for before, after in zip(given, track(given), strict=True):
        assert np.array_equal(before.boxes, after.boxes)
        assert np.array_equal(before.scores, after.scores)
        assert np.array_equal(before.keypoints, after.keypoints)


def test_a_weak_frame_does_not_make_a_sure_face_doubtful(track):
    out = track([seen(at(200), score=0.12 if n in (10, 11, 20) else 0.8) for n in range(40)])
    assert min(float(found.steady.scores[0]) for found in out) > 0.7


def test_a_sure_frame_does_not_make_a_doubtful_face_certain(track):
    out = track([seen(at(200), score=0.4 if n == 20 else 0.22) for n in range(40)])
    assert max(float(found.steady.scores[0]) for found in out) < 0.3


def test_a_short_miss_is_bridged_from_both_sides(track):
    out = track([nobody() if n in (20, 21) else seen(at(100 + 5 * n)) for n in range(40)])
    for number in (20, 21):
        assert out[number].origins.tolist() == [Origin.FILLED]
        assert np.allclose(out[number].steady.boxes, [at(100 + 5 * number)], atol=0.01)
        assert out[number].steady.scores[0] == pytest.approx(0.8)
        truth = np.array(at(100 + 5 * number)[:2]) + _FACE * (40, 50)
        assert np.allclose(points(out[number]), truth, atol=0.01)


def test_nobody_is_sure_of_a_face_that_is_hidden_or_gone(track):
    out = track([nobody() if 20 <= n < 29 or n >= 40 else seen(at(200)) for n in range(46)])
    hidden = [found for found in out if (found.origins == Origin.FILLED).any()]
    assert len(hidden) == 9 + 6
    assert all(found.steady.scores.tolist() == [0] for found in hidden)


def test_a_face_that_leaves_the_picture_keeps_its_landmarks(track):
    path = [470 + 8 * n for n in range(16)]  # its right edge reaches 640 in the last frame with a hit
    out = track([seen(at(x)) for x in path] + [nobody()] * 4)
    step = points(out[16]) - points(out[15])
    assert out[16].origins.tolist() == [Origin.FILLED]
    assert np.allclose(step, (8, 0), atol=0.6)
    assert out[16].steady.scores[0] == pytest.approx(0.8)


def test_only_what_is_rigid_is_smoothed_and_nothing_on_request(track):
    assert all(found.steady is None for found in track([seen(at(200), kind=PERSON)] * 5))
    assert all(found.steady is None for found in track([seen(at(200))] * 5, tracking=Tracking(steady=0)))
    with pytest.raises(UsageError, match=r"tracking\.steady"):
        Tracking(steady=-1)


def test_regions_carry_it(track):
    out = track([seen(at(200))] * 5)
    (region,) = regions(out[2])
    assert region.steady is not None
    assert np.array_equal(region.steady.box, out[2].steady.boxes[0])
    assert region.steady.score == pytest.approx(0.8)
