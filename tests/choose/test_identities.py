"""Who a track is: made-up distances over time with known truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.choose.evidence import NOBODY, Limits
from dp2.choose.identities import Ledger
from dp2.types import Detections, Frame, Origin

LIMITS = Limits(near=1.0, far=1.15, samples=3, margin=0.05, exclusive=True)
ANNA, STRANGER = 0.7, 1.35
BOX = (100.0, 100.0, 150.0, 160.0)
Scene = Callable[[int], list[tuple[int, float | None, tuple[float, ...]]]]  # frame → (track, distance, box)


def frame(index: int, grey: int = 100) -> Frame:
    return Frame(np.full((180, 320, 3), grey, np.uint8), index, Fraction(index, 25))


def watched(scene: Scene, count: int, *, cuts: Sequence[int] = (), people: int = 1) -> Ledger:
    """A ledger that has seen the scene; a distance of None is a face that is not clear, 9 one that was not seen."""
    ledger = Ledger(people, LIMITS, interval=0.2)
    for index in range(count):
        rows = scene(index)
        grey = 100 + 80 * (sum(cut <= index for cut in cuts) % 2)
        found = Detections(
            "face",
            np.array([box for _, _, box in rows]).reshape(-1, 4),
            np.full(len(rows), 0.9),
            track_ids=np.array([track for track, _, _ in rows], np.int64),
            origin=np.array([Origin.FILLED if d == 9 else Origin.DETECTED for _, d, _ in rows], np.uint8),
        )
        for _, row in ledger.follow(frame(index, grey), [found]):
            track, distance, _ = rows[row]
            if distance is not None:
                ledger.note(track, np.full(people, distance, np.float32))
        ledger.settle()
    return ledger


def kept(ledger: Ledger, count: int, track: int = 0) -> list[int]:
    return [index for index in range(count) if ledger.person(track, index) != NOBODY]


def test_somebody_known_by_some_clear_faces_is_known_in_the_whole_track() -> None:
    ledger = watched(lambda i: [(0, ANNA if 20 <= i < 40 else None, BOX)], 60)
    assert kept(ledger, 60) == list(range(60))


def test_two_clear_faces_are_too_few() -> None:
    assert kept(watched(lambda i: [(0, ANNA if i in (5, 6) else None, BOX)], 60), 60) == []


def test_a_stranger_is_nobody() -> None:
    assert kept(watched(lambda i: [(0, STRANGER, BOX)], 60), 60) == []


def test_who_changes_into_somebody_else_is_known_up_to_the_last_clear_face() -> None:
    known = kept(watched(lambda i: [(0, ANNA if i < 30 else STRANGER, BOX)], 60), 60)
    assert known
    assert known == list(range(known[-1] + 1))
    assert 20 <= known[-1] < 30


def test_a_stranger_who_changes_into_somebody_is_known_from_the_first_clear_face_on() -> None:
    known = kept(watched(lambda i: [(0, STRANGER if i < 30 else ANNA, BOX)], 60), 60)
    assert known
    assert known == list(range(known[0], 60))
    assert 30 <= known[0] <= 45


def test_doubtful_faces_in_a_row_end_it() -> None:
    known = kept(watched(lambda i: [(0, ANNA if i < 30 else 1.12, BOX)], 80), 80)
    assert known
    assert known[-1] < 45


def test_one_doubtful_face_does_not() -> None:
    assert len(kept(watched(lambda i: [(0, 1.12 if i == 30 else 0.95, BOX)], 60), 60)) == 60


@pytest.mark.parametrize("what", ["cut", "jump", "gap"])
def test_where_a_track_may_have_become_somebody_else_it_has_to_be_known_anew(what: str) -> None:
    def scene(i: int) -> list[tuple[int, float | None, tuple[float, ...]]]:
        box = (250.0, 20.0, 290.0, 70.0) if what == "jump" and i >= 30 else BOX
        distance = None if i >= 30 else ANNA
        return [(0, 9 if what == "gap" and 20 <= i < 30 else distance, box)]

    known = kept(watched(scene, 60, cuts=[30] if what == "cut" else []), 60)
    assert known == list(range(30))


def test_people_whose_faces_touch_have_to_be_known_anew() -> None:
    def scene(i: int) -> list[tuple[int, float | None, tuple[float, ...]]]:
        shift = 40.0 if 20 <= i < 30 else 100.0
        other = (BOX[0] + shift, BOX[1], BOX[2] + shift, BOX[3])
        return [(0, ANNA if i < 20 else None, BOX), (1, STRANGER, other)]

    ledger = watched(scene, 50)
    assert kept(ledger, 50) == list(range(20))
    assert kept(ledger, 50, track=1) == []


@pytest.mark.parametrize(("other", "expected"), [(0.9, {0}), (0.72, set())])
def test_nobody_is_in_two_places_and_who_cannot_be_told_apart_is_nobody(other: float, expected: set[int]) -> None:
    far = (250.0, 20.0, 290.0, 70.0)
    ledger = watched(lambda i: [(0, ANNA, BOX), (1, other, far)], 40)
    assert {track for track in (0, 1) if kept(ledger, 40, track)} == expected


def test_a_track_that_was_contradicted_by_its_twin_stays_nobody_when_that_is_gone() -> None:
    far = (250.0, 20.0, 290.0, 70.0)
    ledger = watched(lambda i: [(1, 0.9, far)] + ([(0, ANNA, BOX)] if i < 20 else []), 60)
    assert kept(ledger, 20) == list(range(20))
    assert kept(ledger, 60, track=1) == []


@given(st.lists(st.sampled_from([ANNA, STRANGER, 1.1, None]), min_size=1, max_size=80))
def test_nobody_is_known_in_a_frame_whose_clear_face_was_a_strangers(distances: list[float | None]) -> None:
    seen: list[int] = []

    class Watching(Ledger):
        def note(self, track: int, distances: np.ndarray) -> None:
            super().note(track, distances)
            if distances[0] == np.float32(STRANGER):
                seen.append(self._number)

    ledger = Watching(1, LIMITS, interval=0.2)
    for index, distance in enumerate(distances):
        found = Detections("face", np.array([BOX]), np.array([0.9]), track_ids=np.array([0]))
        for _ in ledger.follow(frame(index), [found]):
            if distance is not None:
                ledger.note(0, np.array([distance], np.float32))
    assert not set(seen) & set(kept(ledger, len(distances)))


def test_memory_does_not_grow_with_people_who_are_gone() -> None:
    ledger = watched(lambda i: [(i // 10, STRANGER, BOX)], 600)
    assert len(ledger._trails) < 20
    long = watched(lambda i: [(0, ANNA, BOX)], 3000)
    assert len(long._trails[0].piece.samples) <= 64
