"""Rules that look at nobody: by place, kind and size; and places that are always changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.choose.zones import Zone, parse_zone
from dp2.errors import UsageError
from dp2.types import ZONE, Detections, Region


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is left as it is, and what is changed though nobody was found there.

    Attributes:
        exclude: a region whose centre lies in one of these zones is left as it is, e.g. a poster or a screen.
        include: if there are any, a region whose centre lies in none of them is left as it is.
        skip: kinds that are left as they are, e.g. `vehicle`.
        min_size: what has a box with a longer side below this many pixels is left as it is.
        always: zones that are changed in every frame. They come before every other rule.

    Zones are given as `dp2.choose.zones.parse_zone` takes them.

    Raises:
        UsageError: a zone or size cannot be.
    """

    exclude: Sequence[Any] = ()
    include: Sequence[Any] = ()
    skip: Sequence[str] = ()
    min_size: float = 0.0
    always: Sequence[Any] = ()

    def __post_init__(self) -> None:
        for name in ("exclude", "include", "always"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise UsageError(f"{name}: a list of zones is expected, not {value!r}.")
            object.__setattr__(self, name, tuple(parse_zone(zone) for zone in value))
        if not 0 <= self.min_size < math.inf:
            raise UsageError(f"min_size={self.min_size}: must be 0 or more pixels.")
        object.__setattr__(self, "skip", tuple(self.skip))

    def untouched(self, detections: Detections, height: int, width: int) -> NDArray[np.bool_]:
        """(N,) bool: the rows that are left as they are in a frame of that size."""
        if detections.kind in self.skip:
            return np.ones(len(detections), bool)
        boxes = detections.boxes.astype(np.float64)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        left: NDArray[np.bool_] = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) < self.min_size
        left |= _in_any(self.exclude, centres, height, width)
        if self.include:
            left |= ~_in_any(self.include, centres, height, width)
        return left

    def regions(self, height: int, width: int) -> list[Region]:
        """The zones that are always changed, as regions of kind `zone` of a frame of that size."""
        return [
            Region(
                kind=ZONE,
                box=zone.box(height, width),
                score=1.0,
                identity=number,
                mask=None if zone.is_box else zone.mask(height, width),
            )
            for number, zone in enumerate(self.always)
        ]


def _in_any(zones: Sequence[Zone], points: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    inside = np.zeros(len(points), bool)
    for zone in zones:
        inside |= zone.holds(points, height, width)
    return inside
