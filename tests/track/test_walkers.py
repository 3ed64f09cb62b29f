"""A person whose legs swing, on the way out of the picture and behind something: nothing of them shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dp2.track.tracker import Tracking
from dp2.types import PERSON, Detections, Origin

HEIGHT, WIDTH, FPS = 240, 480, 25
STRIDE = 1.1  # seconds from one step of a leg to its next


def walker(x: float, time: float) -> np.ndarray:
    """(HEIGHT, WIDTH) bool: who stands at column x of the picture, in the stride of that moment."""
    canvas = np.zeros((HEIGHT, WIDTH + 400), np.uint8)  # room on both sides, so that drawing may leave the picture
    hip, swing = (round(x) + 200, 120), 34 * np.sin(2 * np.pi * time / STRIDE)
    cv2.ellipse(canvas, (hip[0], 40), (13, 17), 0, 0, 360, 255, -1)
    cv2.line(canvas, (hip[0], 62), hip, 255, 30)
    for leg in (swing, -swing):
        cv2.line(canvas, hip, (round(hip[0] + leg), 220), 255, 14)
    return canvas[:, 200 : 200 + WIDTH] > 0


def detected(mask: np.ndarray) -> Detections:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return Detections(PERSON, np.array([box], np.float32), np.array([0.9], np.float32), masks=mask[None])


@pytest.mark.parametrize("phase", [0.0, 0.15, 0.3, 0.45, 0.6, 0.8])
@pytest.mark.parametrize("speed", [160, 240, -200])
def test_legs_of_who_leaves_the_picture_are_covered(track, speed: float, phase: float) -> None:
    border = WIDTH if speed > 0 else 0
    places = [(border + speed * (k / FPS - 1.3), phase + k / FPS) for k in range(2 * FPS)]
    truth = [walker(x, time) for x, time in places]
    cut = [(x - border) / speed > -0.15 for x, _ in places]  # whom the border cuts off, the detector loses
    found = [Detections.empty(PERSON) if lost else detected(mask) for mask, lost in zip(truth, cut, strict=True)]
    out = track(found, fps=FPS, size=(HEIGHT, WIDTH))
    guesses = 0
    for mask, rows in zip(truth, out, strict=True):
        if len(rows) and rows.origins[0] == Origin.FILLED:
            guesses += 1
            assert (mask & ~rows.masks[0]).sum() <= 0.01 * mask.sum()
    assert guesses >= 5


def test_who_disappears_keeps_no_larger_mask_than_lately(track) -> None:
    masks = [walker(200 + 2 * k, k / FPS) for k in range(20)]
    found = [detected(mask) for mask in masks] + [Detections.empty(PERSON)] * 10
    out = track(found, fps=FPS, size=(HEIGHT, WIDTH))
    filled = [rows.masks[0] for rows in out if len(rows) and rows.origins[0] == Origin.FILLED]
    assert filled
    widest = max(np.ptp(np.flatnonzero(mask.any(axis=0))) for mask in masks)
    assert all(np.ptp(np.flatnonzero(mask.any(axis=0))) < 1.5 * widest for mask in filled)
    assert np.array_equal(out[5].masks[0], masks[5])


def test_last_foot_of_a_leaver_stays_covered_at_the_border(track) -> None:
    places = [WIDTH - 100 + 300 * k / 10 for k in range(10)]
    cut = [k > 3 for k in range(10)]
    found = [Detections.empty(PERSON) if lost else detected(walker(x, 0)) for x, lost in zip(places, cut, strict=True)]
    out = track(found, fps=10, size=(HEIGHT, WIDTH), tracking=Tracking(coast=0.4))
    for rows in out[4:8]:
        assert rows.masks[0][40:220, -5:].all()
    assert not len(out[8])


def test_weak_leg_at_the_border_brings_the_rest_of_its_track(track) -> None:
    masks = [walker(WIDTH - 35 + 4 * k, 0) for k in range(8)]
    found = [detected(mask) for mask in masks]
    leg = masks[-1].copy()
    leg[:85] = False
    found[-1] = detected(leg).with_(origin=np.array([Origin.WEAK], np.uint8))
    (last,) = track(found, fps=25, size=(HEIGHT, WIDTH))[-1:]
    assert last.origins.tolist() == [Origin.DETECTED]
    assert (masks[-1] & ~last.masks[0]).sum() <= 0.01 * masks[-1].sum()
