"""Detections: parallel arrays that are checked when built."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dp2.types import PERSON_SURFACE, Detections, regions

BOXES = np.array([[0, 0, 10, 20], [5, 5, 9, 9]], np.float32)
SURFACE = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)


def bodies(**changes: Any) -> Detections:
    return Detections(**{"kind": PERSON_SURFACE, "boxes": BOXES, "scores": [0.9, 0.8], "surface": SURFACE, **changes})


def test_surface_lies_in_the_boxes_unless_said_otherwise() -> None:
    assert np.array_equal(bodies().surface_boxes, BOXES)
    own = bodies(surface_boxes=BOXES + 1)
    assert np.array_equal(own.surface_boxes, BOXES + 1)
    assert np.array_equal(own.with_(boxes=BOXES + 5).surface_boxes, BOXES + 1)


def test_rows_and_regions_keep_their_surfaces() -> None:
    found = Detections.concatenate([bodies(surface_boxes=BOXES + 1), Detections.empty(PERSON_SURFACE)])[1]
    (region,) = regions(found)
    assert np.array_equal(region.surface, SURFACE[1])
    assert np.array_equal(region.surface_box, BOXES[1] + 1)


def test_boxes_of_surfaces_go_with_the_surfaces() -> None:
    assert bodies().with_(surface=None).surface_boxes is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"surface": SURFACE[:, :1]}, r"surface must be \(N, E \+ 1, S, S\)"),
        ({"surface": SURFACE[0]}, "surface has 3 rows, boxes 2"),
        ({"surface": np.full_like(SURFACE, np.nan)}, "surface must be finite"),
        ({"surface_boxes": BOXES[:1]}, "surface_boxes has 1 rows"),
        ({"surface_boxes": BOXES[:, ::-1]}, "x1 < x0"),
        ({"boxes": np.full((2, 4), np.inf)}, "boxes must be finite"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        bodies(**changes)
