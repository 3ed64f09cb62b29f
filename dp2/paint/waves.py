"""In which order regions are painted, and which of them can be synthesized together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dp2.types import FACE, PERSON, PERSON_SURFACE, Box, Reach, Region

_RANK = {FACE: 0, PERSON: 2, PERSON_SURFACE: 3}
_OTHER = 1


def painting_order(regions: Sequence[Region], refused: Sequence[bool] | None = None) -> list[int]:
    """Indices of the regions, first painted first: faces, then vehicles and the like, bodies, bodies with a surface.

    Among equals the largest comes last, as DeepPrivacy2 paints. What it leaves out, since its generator refuses it, is
    redacted before them, so that the blur of a doubtful find lies below a new face and not across it.

    Args:
        refused: which regions will get the fallback only; None = none.
    """
    served = [True] * len(regions) if refused is None else [not one for one in refused]
    return sorted(
        range(len(regions)), key=lambda i: (_RANK.get(regions[i].kind, _OTHER), served[i], regions[i].area, i)
    )


def waves(reaches: Sequence[Reach]) -> list[int]:
    """Assign each region of a frame to a wave so that waves give what painting one by one would give.

    Regions of one wave are synthesized from the same canvas, then pasted in painting order. So a region goes into
    a later wave than every earlier one whose changes it sees, and into no earlier wave than one that must not see its
    changes, or that changes the same pixels.

    Args:
        reaches: of the regions of one frame, in painting order.

    Returns:
        a wave number from 0 for each.
    """
    views = _boxes([reach.view for reach in reaches])
    writes = _boxes([reach.write for reach in reaches])
    result = np.zeros(len(reaches), np.intp)
    for later in range(1, len(reaches)):
        earlier = slice(0, later)
        sees = _overlap(writes[earlier], views[later])
        hides = _overlap(views[earlier], writes[later]) | _overlap(writes[earlier], writes[later])
        result[later] = np.where(sees, result[earlier] + 1, np.where(hides, result[earlier], 0)).max()
    wave_numbers: list[int] = result.tolist()
    return wave_numbers


def _boxes(boxes: Sequence[Box]) -> NDArray[np.int64]:
    return np.array(boxes, np.int64).reshape(-1, 4)


def _overlap(boxes: NDArray[np.int64], box: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of (N, 4) boxes share a pixel with one; empty boxes share none."""
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, 2:], box[2:])
    return np.asarray(np.all(low < high, axis=1))
