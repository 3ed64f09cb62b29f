"""Which regions may be synthesized together."""

from __future__ import annotations

import pytest

from dp2.paint.waves import waves
from dp2.types import Reach


def reach(view: tuple[int, int], write: tuple[int, int]) -> Reach:
    """Columns of a frame ten pixels high."""
    return Reach((view[0], 0, view[1], 10), (write[0], 0, write[1], 10))


FIRST = reach(view=(0, 10), write=(0, 10))


@pytest.mark.parametrize(
    ("second", "third", "expected"),
    [
        (reach((20, 30), (20, 30)), reach((40, 50), (40, 50)), [0, 0, 0]),
        (reach((5, 30), (20, 30)), reach((40, 50), (40, 50)), [0, 1, 0]),
        (reach((5, 30), (20, 30)), reach((25, 50), (40, 50)), [0, 1, 2]),
        # The second looks where the third will write: it must not find that changed already.
        (reach((5, 40), (20, 30)), reach((35, 40), (35, 40)), [0, 1, 1]),
        # Both write to one place: the later one must be pasted last.
        (reach((5, 25), (20, 30)), reach((30, 40), (28, 40)), [0, 1, 1]),
        # Touching is not overlapping.
        (reach((10, 20), (10, 20)), reach((20, 30), (20, 30)), [0, 0, 0]),
        (reach((0, 0), (0, 0)), reach((0, 50), (0, 0)), [0, 0, 1]),
    ],
)
def test_waves(second, third, expected):
    assert waves([FIRST, second, third]) == expected


def test_no_regions():
    assert waves([]) == []
