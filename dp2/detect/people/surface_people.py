"""People by mask and by surface together: who has both gets the union, and nobody is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import check_fraction, check_images, check_relax, joined
from dp2.errors import DetectionError, UsageError
from dp2.geometry.mask_matching import greedy_matches, mask_ious, masks_to_boxes
from dp2.stages import Detector
from dp2.types import PERSON, PERSON_SURFACE, Detections, Image, Origin


@dataclass(frozen=True, kw_only=True)
class SurfacePeople:
    """Matches the people of two detectors by their masks, as DeepPrivacy2's `CSEPersonDetector`.

    A matched person has kind "person_surface", the union of both masks, the score of the surface. Who only has a mask
    stays "person"; the published detector drops them in its configs without a generator for them.

    Attributes:
        masks: finds people with masks, and perhaps other kinds, which pass through.
        surfaces: finds people with masks and surfaces.
        iou: overlap of two masks from which they show the same person.
        covered: a person without match of whom at least this share lies in masks already found is no further person;
            0 = whoever only has a surface is dropped, as published.

    Raises:
        UsageError: a value is out of its range, or the detectors do not find people.
    """

    masks: Detector
    surfaces: Detector
    iou: float = 0.4
    covered: float = 0.8

    def __post_init__(self) -> None:
        check_fraction("iou", self.iou)
        check_fraction("covered", self.covered)
        if self.iou == 0:
            raise UsageError("iou must be more than 0: everybody would match everybody.")
        if PERSON not in self.masks.kinds or self.surfaces.kinds != (PERSON_SURFACE,):
            raise UsageError(f"people need a detector of {PERSON} with masks and one of {PERSON_SURFACE}.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Other kinds of the detector of masks, then people without and with surface: the order of painting."""
        return (*(kind for kind in self.masks.kinds if kind != PERSON), PERSON, PERSON_SURFACE)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "SurfacePeople",
            "masks": self.masks.settings,
            "surfaces": self.surfaces.settings,
            "iou": self.iou,
            "covered": self.covered,
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        check_images(images)
        by_mask, by_surface = self.masks(images, relax=relax), self.surfaces(images, relax=relax)
        return [self._combined(found, people) for found, (people,) in zip(by_mask, by_surface, strict=True)]

    def _combined(self, found: Sequence[Detections], surfaces: Detections) -> tuple[Detections, ...]:
        others = tuple(part for part in found if part.kind != PERSON)
        (people,) = (part for part in found if part.kind == PERSON)
        if not len(people) or not len(surfaces):
            return (*others, people, surfaces if self.covered else surfaces[:0])
        masks, bodies = _masks_of(people), _masks_of(surfaces)
        pairs = greedy_matches(mask_ious(masks, bodies), self.iou)
        matched = united(people[pairs[:, 0]], surfaces[pairs[:, 1]])
        single = people[np.setdiff1d(np.arange(len(people)), pairs[:, 0])]
        lonely = np.setdiff1d(np.arange(len(surfaces)), pairs[:, 1])
        shown = np.concatenate([_masks_of(part.confirmed) for part in (people, matched)]).any(axis=0)
        further = [row for row in lonely.tolist() if _share(bodies[row], shown) < self.covered]
        return (*others, single, joined([matched, surfaces[further]]))


def united(people: Detections, surfaces: Detections) -> Detections:
    """Rows of `surfaces` with the masks of the same rows of `people` added, their boxes around both.

    One is sure of a person of whom one of the detectors is sure.
    """
    masks = _masks_of(people) | _masks_of(surfaces)
    around = masks_to_boxes(masks)
    own = surfaces.boxes if surfaces.surface_boxes is None else surfaces.surface_boxes
    boxes = np.concatenate([np.minimum(around[:, :2], own[:, :2]), np.maximum(around[:, 2:], own[:, 2:])], axis=1)
    sure = (people.origins == Origin.DETECTED) | (surfaces.origins == Origin.DETECTED)
    origin = np.where(sure, Origin.DETECTED, Origin.WEAK).astype(np.uint8)
    return surfaces.with_(boxes=boxes, masks=masks, origin=origin)


def _masks_of(found: Detections) -> NDArray[np.bool_]:
    if found.masks is None:
        raise DetectionError(f"detections of {found.kind} have no masks; people are matched by them")
    return found.masks


def _share(mask: NDArray[np.bool_], others: Any) -> float:
    """Of a mask (H, W), how much lies in others."""
    return float((mask & others).sum() / max(int(mask.sum()), 1))
