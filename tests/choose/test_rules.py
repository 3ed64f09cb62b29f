"""Rules of place, kind and size: what they leave untouched stays exactly, all else is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.anonymizer import Anonymizer
from dp2.choose.choosing import Choosing
from dp2.choose.rules import Rules
from dp2.choose.zones import parse_zone
from dp2.errors import UsageError
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction
from dp2.types import Detections

SOLID = Redaction(fill=Solid(color="#ff0000"), shape="mask", mask_scale=1.0, mask_growth=0.0, feather=0.0)
LEFT, RIGHT, SMALL = (10, 30, 50, 70), (130, 30, 170, 70), (90, 80, 100, 90)
CAR = (60, 10, 120, 60)


@dataclass
class Street:
    """Three faces and a vehicle, in every picture."""

    kinds = ("face", "vehicle")
    settings: Any = None

    def __call__(self, images: Sequence[np.ndarray], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        faces = Detections("face", np.array([LEFT, RIGHT, SMALL]), np.full(3, 0.9))
        return [(faces, Detections("vehicle", np.array([CAR]), np.array([0.8])))] * len(images)


def changed(**rules: Any) -> tuple[set[tuple[int, ...]], Any]:
    """Which of the boxes are covered under these rules, and the result."""
    chooser = Choosing(rules=Rules(**rules))
    anonymizer = Anonymizer(detector=Street(), synthesizers={}, fallback=SOLID, chooser=chooser)
    result = anonymizer.anonymize(np.full((100, 200, 3), 90, np.uint8))
    red = (result.image == (255, 0, 0)).all(axis=2)
    return {box for box in (LEFT, RIGHT, SMALL, CAR) if red[box[1] : box[3], box[0] : box[2]].all()}, result


def test_without_rules_everything_is_changed() -> None:
    assert changed()[0] == {LEFT, RIGHT, SMALL, CAR}


@pytest.mark.parametrize("zone", ["0,0,80,100", "0,0,0.4,1", "0,0 80,0 80,100 0,100", [0, 0, 80, 100]])
def test_what_lies_in_an_excluded_zone_is_left_and_counts_as_kept(zone: Any) -> None:
    boxes, result = changed(exclude=[zone])
    assert boxes == {RIGHT, SMALL, CAR}
    assert result.kept == {"face": 1}
    assert result.changed == {"face": 2, "vehicle": 1}


def test_with_included_zones_only_what_lies_there_is_changed() -> None:
    assert changed(include=["120,0,200,100", "85,75,105,95"])[0] == {RIGHT, SMALL}


def test_kinds_and_small_things_are_left() -> None:
    assert changed(skip=["vehicle"])[0] == {LEFT, RIGHT, SMALL}
    assert changed(min_size=11)[0] == {LEFT, RIGHT, CAR}


def test_a_zone_is_always_changed_even_where_it_is_excluded() -> None:
    boxes, result = changed(always=["0,0,80,100", "0.5,0.5 1,0.5 1,1"], exclude=["0,0,1,1"])
    assert boxes == {LEFT}
    assert result.changed == {"zone": 2}
    assert (result.image[99, 199] == (255, 0, 0)).all()
    assert (result.image[99, 101] == 90).all()  # outside of the triangle
    assert (result.image[:, 81:100] == 90).all()  # between the zones


@pytest.mark.parametrize("zone", ["", "1,2,3", "a,b,c,d", "0,0 1,1", "5,5,5,9", "nan,0,1,1", "-1,0,5,5", [1, 2], 7])
def test_what_is_no_zone_is_refused(zone: Any) -> None:
    with pytest.raises(UsageError, match="zone"):
        Rules(exclude=[zone])


@given(
    st.tuples(*[st.floats(0, 0.99) for _ in range(4)]).filter(lambda v: abs(v[0] - v[2]) > 0.01 < abs(v[1] - v[3])),
    st.integers(20, 500),
    st.integers(20, 500),
)
def test_a_box_in_shares_is_the_same_box_in_pixels(shares: tuple[float, ...], height: int, width: int) -> None:
    x0, y0, x1, y1 = shares
    pixels = [x0 * width, y0 * height, x1 * width, y1 * height]
    if max(pixels) <= 1:
        return
    box = parse_zone(shares).box(height, width)
    assert np.allclose(box, parse_zone(pixels).box(height, width), rtol=1e-5, atol=1e-3)
    assert parse_zone(shares).holds(np.array([[(x0 + x1) / 2 * width, (y0 + y1) / 2 * height]]), height, width).all()
