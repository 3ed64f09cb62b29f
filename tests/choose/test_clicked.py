"""People who stay because somebody pointed at them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from dp2.choose.choosing import Choosing
from dp2.choose.clicked import Clicked
from dp2.choose.rules import Rules
from dp2.types import Detections, Frame

BOXES = np.array([[0, 0, 10, 10], [20, 0, 40, 20], [50, 0, 60, 10]], np.float32)


def frame(index: int = 0) -> Frame:
    return Frame(np.zeros((64, 64, 3), np.uint8), index, Fraction(index, 25))


def faces(tracks: list[int] | None = None) -> Detections:
    return Detections("face", BOXES, np.ones(3, np.float32), track_ids=tracks)


def kept(clicked: Clicked, *parts: Detections) -> list[tuple[str, float]]:
    stream = clicked.start()
    choices = [*stream.update(frame(), parts), *stream.flush()]
    assert len(choices) == 1
    assert len(choices[0].keep) + len(choices[0].change) == sum(map(len, parts))
    return [(region.kind, float(region.box[0])) for region in choices[0].keep]


def test_row_of_a_photo_stays() -> None:
    assert kept(Clicked(rows=frozenset({("face", 1)})), faces()) == [("face", 20)]


def test_row_of_another_kind_does_not() -> None:
    assert kept(Clicked(rows=frozenset({("person", 1)})), faces()) == []


def test_track_stays_wherever_it_is_in_the_list() -> None:
    clicked = Clicked(tracks=frozenset({("face", 7)}))
    assert kept(clicked, faces([3, 1, 7])) == [("face", 50)]
    assert kept(clicked, faces([7, 1, 3])) == [("face", 0)]


def test_row_without_track_is_never_taken_for_a_track() -> None:
    assert kept(Clicked(tracks=frozenset({("face", 1)})), faces()) == []
    assert kept(Clicked(tracks=frozenset({("face", 1)})), faces([-1, -1, -1])) == []


def test_others_are_decided_by_the_next_chooser() -> None:
    others = Choosing(rules=Rules(min_size=15))
    clicked = Clicked(rows=frozenset({("face", 1)}), others=others)
    assert sorted(kept(clicked, faces())) == [("face", 0), ("face", 20), ("face", 50)]
