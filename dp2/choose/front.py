"""Kept faces in front of finds that are far less sure: an ear, a neck, or the same face found twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dp2.geometry.boxes import iou
from dp2.types import FACE, Region

RIVAL = 0.5  # of a face's score: what overlaps with less is the same face found twice
_SHARED = 0.05  # intersection over union from which a find may be that
_SIZES = 2.0  # largest ratio of their areas


def behind_kept(change: Sequence[Region], kept: Sequence[Region]) -> list[Region]:
    """Regions to be changed, each with the kept faces that stand in front of it.

    It is changed all the same, but what it covers ends where the kept face begins: whoever is kept would else be hidden
    as long as a track of a doubtful find goes on. That holds for finds of about the kept face's size and place only. If
    it is a face of somebody else, then one that the sure face hides; a smaller one may stand in front, and is covered.

    Args:
        kept: faces that were surely seen in this very frame.
    """
    return [
        replace(region, behind=tuple(face.box for face in kept if _twice(region, face)))
        if region.kind == FACE
        else region
        for region in change
    ]


def _twice(region: Region, face: Region) -> bool:
    """Whether a region is likely the same face again."""
    ratio = region.area / max(face.area, 1e-6)
    alike = 1 / _SIZES <= ratio <= _SIZES and iou(region.box, face.box)[0, 0] >= _SHARED
    return bool(alike and region.score < RIVAL * face.score)
