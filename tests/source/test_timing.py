from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dp2.source.timing import exact_rate, resample
from dp2.types import Frame

PIXEL = np.zeros((1, 1, 3), np.uint8)
rates = st.sampled_from([Fraction(5), Fraction(24), Fraction(30000, 1001), Fraction(60)])


def stream(times: list[Fraction]) -> list[Frame]:
    return [Frame(np.full((1, 1, 3), i % 256, np.uint8), i, time) for i, time in enumerate(times)]


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=40, unique=True), rates)
def test_resampled_stream_is_regular_and_shows_each_tick_a_near_frame(stamps: list[int], rate: Fraction) -> None:
    frames = stream([Fraction(stamp, 1000) for stamp in sorted(stamps)])
    result = list(resample(frames, rate))
    assert [frame.index for frame in result] == list(range(len(result)))
    assert {b.time - a.time for a, b in pairwise(result)} <= {1 / rate}
    for frame in result:
        shown = frames[int(frame.image[0, 0, 0])]
        later = [other.time for other in frames if other.time > shown.time]
        assert shown.time <= frame.time + 1 / (2 * rate)
        assert not later or later[0] + 1 / (2 * rate) >= frame.time


@given(st.integers(1, 60), rates)
def test_regular_stream_at_its_own_rate_is_unchanged(count: int, rate: Fraction) -> None:
    frames = stream([i / rate for i in range(count)])
    assert [frame.time for frame in resample(frames, rate)] == [frame.time for frame in frames]


def test_decimal_rates() -> None:
    assert [exact_rate(r) for r in (29.97, 23.976, 59.94, 25, 12.5)] == [
        Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60000, 1001), Fraction(25), Fraction(25, 2)
    ]  # fmt: skip
