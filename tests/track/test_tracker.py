"""Synthetic scenes with known truth: what was missed stays covered, and everybody keeps their id."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dp2.errors import TrackingError, UsageError
from dp2.track.tracker import Tracking
from dp2.types import FACE, PERSON, Detections, Frame, Origin

HERE = Path(__file__).resolve()
REFERENCE = HERE.parents[1] / "fixtures" / "tracker_reference.json"
SHARED = HERE.parents[2].parent / "shared" / "parity" / "pipeline.json"
IMAGE = np.zeros((480, 640, 3), np.uint8)


def box(x, y, w=40, h=50):
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def noisy(boxes, seed=0, jitter=0.03):
    rng = np.random.default_rng(seed)
    return [(np.asarray(b) + rng.normal(0, jitter * (b[2] - b[0]), 4)).tolist() for b in boxes]


def ids(out):
    return [found.track_ids.tolist() for found in out]


def nearest_id(found, truth):
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    target = np.array([(truth[0] + truth[2]) / 2, (truth[1] + truth[3]) / 2])
    return int(found.track_ids[np.linalg.norm(centre - target, axis=1).argmin()])


@pytest.mark.parametrize("missed", range(1, 11))
@pytest.mark.parametrize("step", [0, 4, 12])
def test_face_missed_for_up_to_ten_frames_stays_covered(track, faces, covered, missed, step):
    truth = [box(80 + step * t, 200 + 2 * t) for t in range(36)]
    seen = noisy(truth)
    gap = range(14, 14 + missed)
    out = track(faces([] if t in gap else [seen[t]]) for t in range(36))
    assert min(covered(found, true) for found, true in zip(out, truth, strict=True)) >= 0.95
    assert ids(out) == [[0]] * 36
    assert all(out[t].origins[0] == Origin.FILLED for t in gap)


def test_nodding_head_missed_for_five_frames_stays_covered(track, faces, covered):
    truth = [box(300 + 40 * math.sin(t / 6), 200 + 15 * math.sin(t / 4)) for t in range(60)]
    for start in range(10, 46, 5):
        gap = range(start, start + 5)
        out = track(faces([] if t in gap else [truth[t]]) for t in range(60))
        assert min(covered(out[t], truth[t]) for t in gap) >= 0.95


def test_gap_longer_than_the_limit_is_left_open_but_keeps_its_id(track, faces):
    out = track(faces([] if 10 <= t < 30 else [box(300, 200)]) for t in range(40))
    shown = [t for t in range(40) if len(out[t])]
    # 0.25 s = 6 frames are shown past the last hit, 0.15 s = 3 frames ahead of the next
    assert shown == [*range(16), *range(27, 40)]
    assert {i for frame in ids(out) for i in frame} == {0}


def test_gap_of_just_the_limit_is_filled(track, faces):
    out = track((faces([box(300, 200)] if t in (0, 15) else []) for t in range(16)), fps=30)
    assert all(len(found) == 1 for found in out)


@pytest.mark.parametrize("velocity", [(-12, 0), (12, 0), (0, -10), (0, 10)])
@pytest.mark.parametrize("direction", ["leaving", "entering"])
def test_face_lost_near_the_border_stays_covered_until_it_is_out(track, faces, covered, velocity, direction):
    x, y = 320 + 24 * velocity[0], 240 + 18 * velocity[1]
    truth = [box(x + velocity[0] * (t - 25), y + velocity[1] * (t - 25)) for t in range(50)]
    seen = [t <= 23 and 20 < (b[0] + b[2]) / 2 < 620 and 25 < (b[1] + b[3]) / 2 < 455 for t, b in enumerate(truth)]
    found = [faces([b] if s else []) for b, s in zip(truth, seen, strict=True)]
    if direction == "entering":
        truth, found = truth[::-1], found[::-1]
    out = track(found)
    assert sum(map(len, found)) > 10
    assert min(covered(o, b) for o, b in zip(out, truth, strict=True)) >= 0.95
    assert not len(out[-1 if direction == "leaving" else 0])


def test_box_cut_by_the_border_moves_at_the_speed_of_its_free_edge(track, faces, covered):
    truth = [box(100 - 8 * t, 200, 60, 60) for t in range(20)]
    clipped = [[max(b[0], 0), *b[1:]] for b in truth]
    out = track(faces([b] if b[2] > 40 else []) for b in clipped)
    assert min(covered(o, b) for o, b in zip(out, truth, strict=True)) >= 0.95


@pytest.mark.parametrize("dropped", [0, 4, 8])
@pytest.mark.parametrize("apart", [0, 15])
def test_two_crossing_faces_keep_their_ids_for_forty_frames(track, faces, covered, dropped, apart):
    left = [box(120 + 10 * t, 200) for t in range(40)]
    right = [box(510 - 10 * t, 200 + apart) for t in range(40)]
    hidden = range(20 - dropped // 2, 20 + dropped - dropped // 2)
    found = [
        faces(noisy([a] if t in hidden else [a, b], seed=t)) for t, (a, b) in enumerate(zip(left, right, strict=True))
    ]
    out = track(found)
    for t in (*range(15), *range(25, 40)):
        assert nearest_id(out[t], left[t]) == 0
        assert nearest_id(out[t], right[t]) == 1
    assert min(covered(out[t], right[t]) for t in range(40)) >= 0.95
    assert {i for frame in ids(out) for i in frame} == {0, 1}


def test_both_faces_missed_at_the_crossing_keep_their_ids(track, faces):
    left, right = [box(120 + 10 * t, 200) for t in range(40)], [box(510 - 10 * t, 200) for t in range(40)]
    out = track(faces([] if 17 <= t < 23 else [left[t], right[t]]) for t in range(40))
    assert all(nearest_id(out[t], left[t]) == 0 and nearest_id(out[t], right[t]) == 1 for t in range(25, 40))


@pytest.mark.parametrize("live", [False, True])
def test_ids_equal_the_reference_on_its_sequence(track, faces, live):
    frames = json.loads(REFERENCE.read_text())
    out = track((faces(frame["boxes"]) for frame in frames), live=live)
    sure = [found[found.origins == Origin.DETECTED] for found in out]
    assert ids(sure) == [frame["ids"] for frame in frames]


def test_stored_sequence_is_the_shared_one():
    if not SHARED.exists():
        pytest.skip(f"{SHARED} is not here")
    assert json.loads(SHARED.read_text())["meta"]["tracker"] == json.loads(REFERENCE.read_text())


def test_gaps_are_measured_in_seconds_when_the_frame_rate_varies(track, faces, covered):
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.choice([1, 2, 3, 6], 60)) / 60
    truth = [box(60 + 110 * t, 200 + 20 * t) for t in times]
    gap = [i for i in range(60) if 1.2 < times[i] < 1.6]
    assert len(gap) > 3
    out = track((faces([] if i in gap else [truth[i]]) for i in range(60)), times=times)
    assert min(covered(found, true) for found, true in zip(out, truth, strict=True)) >= 0.95
    assert ids(out) == [[0]] * 60


def test_walking_at_five_frames_a_second_is_one_track(track, faces, covered):
    truth = [box(60 + 45 * t, 200 + 3 * t, 36, 44) for t in range(12)]  # more than its width between frames
    out = track((faces([] if t in (4, 8) else [truth[t]]) for t in range(12)), fps=5)
    assert ids(out) == [[0]] * 12
    assert min(covered(found, true) for found, true in zip(out, truth, strict=True)) >= 0.95


def test_small_face_moving_two_widths_a_frame_is_one_track(track, faces):
    out = track(faces([box(20 + 24 * t, 100 + t, 12, 14)]) for t in range(25))
    assert ids(out) == [[0]] * 25


def test_hidden_face_does_not_jump_to_a_false_alarm_while_others_stay(track, faces):
    still, hidden, alarm = box(500, 300), box(100, 200), box(220, 200)
    out = track(faces([still, hidden] if t < 15 else [still, alarm]) for t in range(30))
    assert {nearest_id(found, alarm) for found in out[15:]} == {2}


def test_one_face_alone_follows_a_sudden_pan(track, faces):
    out = track(faces([box(100 if t < 15 else 240, 200)]) for t in range(30))
    assert {i for frame in ids(out) for i in frame} == {0}


def test_sudden_pan_moves_everybody_and_keeps_ids(track, faces):
    people = np.array([[100, 100], [180, 130], [260, 90], [350, 140], [420, 100]])
    pan = np.concatenate([np.zeros(8), 55 * np.arange(1, 5), np.full(8, 220)])
    out = track((faces([box(x + p, y) for x, y in people]) for p in pan), size=(480, 1000))
    assert all(frame == [0, 1, 2, 3, 4] for frame in ids([f[f.origins == Origin.DETECTED] for f in out]))


def test_one_of_a_slow_pair_is_missed_and_the_other_is_not_mistaken_for_it(track, faces):
    out = track(faces([box(200, 200), box(260, 200)] if t != 10 else [box(260, 200)]) for t in range(20))
    assert ids(out)[10] == [1, 0]
    assert out[10].origins.tolist() == [Origin.DETECTED, Origin.FILLED]


def test_weak_detections_continue_a_track_but_never_start_one(track, faces):
    lone = box(500, 400)
    out = track(
        faces([box(200, 200)], [lone]) if t < 10 else faces([], [box(200, 200 + (t - 10)), lone]) for t in range(40)
    )
    assert ids(out) == [[0]] * 40
    assert all(found.origins.tolist() == [Origin.DETECTED] for found in out)
    assert out[39].boxes[0, 1] == 204  # as seen, not as guessed


def test_weak_detections_continue_a_track_into_the_past(track, faces):
    out = track(faces([], [box(100 + t, 200)]) if t < 20 else faces([box(100 + t, 200)]) for t in range(40))
    first = next(t for t in range(40) if len(out[t]))
    assert first <= 20 - 12  # half a second of 25 frames
    assert all(len(found) == 1 for found in out[first:])


def test_live_releases_every_frame_at_once_and_shows_what_is_lost(faces, covered):
    truth = [box(100 + 8 * t, 200) for t in range(40)]
    tracker = Tracking().start(live=True)
    for t in range(40):
        gap = 15 <= t < 25
        ((found,),) = tracker.update([faces([] if gap else [truth[t]])], Frame(IMAGE, t, Fraction(t, 25)))
        assert found.track_ids.tolist() == [0]
        assert covered(found, truth[t]) >= 0.95
        assert tracker.pending == 0
    assert list(tracker.flush()) == []


def test_look_ahead_is_bounded_in_time_and_in_frames(faces):
    for fps, most in ((25, 13), (1000, 16)):
        tracker = Tracking(max_held=16).start()
        held = []
        for t in range(60):
            list(tracker.update([faces([box(200, 200)])], Frame(IMAGE, t, Fraction(t, fps))))
            held.append(tracker.pending)
        assert max(held) == most
        assert len(list(tracker.flush())) == most


def test_guess_that_lies_on_another_detection_is_dropped(track, faces):
    twice = [box(200, 200), box(204, 203)]  # a detection that slipped through NMS once
    out = track(faces(twice if t == 10 else twice[:1]) for t in range(20))
    assert [len(found) for found in out] == [2 if t == 10 else 1 for t in range(20)]


def test_keypoints_follow_the_filled_box(track):
    def at(t):
        keypoints = np.array([[[100 + 6.0 * t, 205, 0.9], [120 + 6.0 * t, 205, 0.5]]])
        return Detections(FACE, np.array([[90 + 6 * t, 190, 130 + 6 * t, 240]]), np.array([0.8]), keypoints=keypoints)

    out = track(at(t) if t not in range(5, 9) else Detections.empty(FACE) for t in range(14))
    for t in range(12):
        np.testing.assert_allclose(out[t].keypoints, at(t).keypoints, atol=1e-3)
    assert out[12].scores[0] == pytest.approx(0.8)


def test_masks_move_with_the_filled_box_and_cover_both_ends(track):
    def at(t):
        mask = np.zeros((1, 480, 640), bool)
        mask[0, 100:200, 50 + 5 * t : 100 + 5 * t] = True
        return Detections(PERSON, np.array([[50 + 5 * t, 100, 100 + 5 * t, 200]]), np.array([0.8]), masks=mask)

    out = track(at(t) if t not in range(5, 9) else Detections.empty(PERSON) for t in range(14))
    for t in range(5, 9):
        assert out[t].masks[0][at(t).masks[0]].all()
        assert out[t].masks[0].sum() < 1.5 * at(t).masks[0].sum()


def test_surface_moves_with_the_filled_box(track):
    def at(t):
        box = np.array([[50 + 5 * t, 100, 100 + 5 * t, 200]], np.float32)
        surface = np.full((1, 3, 4, 4), 0.5, np.float32)
        inner = box + np.array([5, 10, -5, -10])
        return Detections("person_surface", box, np.array([0.8]), surface=surface, surface_boxes=inner)

    out = track(at(t) if t not in range(5, 9) else Detections.empty("person_surface") for t in range(14))
    for t in range(5, 9):
        assert (out[t].surface == 0.5).all()
        np.testing.assert_allclose(out[t].surface_boxes, at(t).surface_boxes, atol=0.5)


def test_filled_rows_join_detections_that_carry_less(track, faces):
    mask = np.zeros((1, 480, 640), bool)
    mask[0, 20:60, 20:60] = True
    rich = Detections(FACE, np.array([[20, 20, 60, 60]]), np.array([0.8]), masks=mask)
    poor = faces([box(300, 300)])
    out = track([rich, rich, poor, rich, rich])
    assert [len(found) for found in out] == [2] * 5
    assert out[2].masks is None
    assert out[1].masks[0].sum() == 1600
    assert out[1].masks[1].sum() >= 40 * 50


def test_ids_are_unique_over_all_kinds(faces):
    tracker = Tracking().start()
    for t in range(3):
        found = [faces([box(200, 200)]), faces([box(200, 300, 100, 200)], kind=PERSON)]
        list(tracker.update(found, Frame(IMAGE, t, Fraction(t, 25))))
    for face, person in tracker.flush():
        assert (face.kind, person.kind) == (FACE, PERSON)
        assert face.track_ids.tolist() + person.track_ids.tolist() == [0, 1]


def test_kind_missing_in_some_frames_is_still_filled(faces):
    tracker = Tracking().start()
    out = []
    for t in range(9):
        found = [faces([box(200, 200)])] if t != 4 else []
        out += tracker.update(found, Frame(IMAGE, t, Fraction(t, 25)))
    out += tracker.flush()
    assert [[found.track_ids.tolist() for found in kinds] for kinds in out] == [[[0]]] * 9


@pytest.mark.parametrize(("index", "time"), [(4, 1), (3, 1), (6, Fraction(1, 10))])
def test_frames_out_of_order_are_refused(faces, index, time):
    tracker = Tracking().start()
    tracker.update([faces([])], Frame(IMAGE, 4, Fraction(1, 5)))
    with pytest.raises(TrackingError, match="order of their times"):
        tracker.update([faces([])], Frame(IMAGE, index, Fraction(time)))
    assert tracker.pending == 1


def test_frames_after_the_end_and_doubled_kinds_are_refused(faces):
    tracker = Tracking().start()
    with pytest.raises(TrackingError, match="twice"):
        tracker.update([faces([]), faces([])], Frame(IMAGE))
    tracker.flush()
    with pytest.raises(TrackingError, match="after the end"):
        tracker.update([faces([])], Frame(IMAGE))


@pytest.mark.parametrize("setting", [{"max_gap": -1}, {"coast": float("nan")}, {"relax": 0}, {"relax": 1.5}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(UsageError, match=f"tracking.{next(iter(setting))}"):
        Tracking(**setting)
