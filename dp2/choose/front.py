"""Kept faces in front of finds that are far less sure: an ear, a neck, or the same face found twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dp2.types import FACE, Region

RIVAL = 0.5  # of a face's score: what overlaps with less is the same face found twice


def behind_kept(change: Sequence[Region], kept: Sequence[Region]) -> list[Region]:
    """Regions to be changed, each with the kept faces that stand in front of it.

    It is changed all the same, but what it covers ends where the kept face begins: whoever is kept would else be hidden
    as long as a track of a doubtful find goes on. If it is a face of somebody else, then one that the sure face hides.

    Args:
        kept: faces that were surely seen in this very frame.
    """
    return [
        replace(region, behind=tuple(face.box for face in kept if region.score < RIVAL * face.score))
        if region.kind == FACE
        else region
        for region in change
    ]
