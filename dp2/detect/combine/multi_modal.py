"""Faces, vehicles and bodies together; a face that its body's anonymization replaces is left to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import check_fraction, check_images, check_relax
from dp2.errors import UsageError
from dp2.geometry.bodies import BodyRule, clipped, whole
from dp2.stages import Detector
from dp2.types import FACE, PERSON, PERSON_SURFACE, Detections, Image

_BODIES = (PERSON, PERSON_SURFACE)


@dataclass(frozen=True, kw_only=True)
class MultiModal:
    """What several detectors find, as DeepPrivacy2's `CSeMaskFaceDetector`: faces that lie in bodies count once.

    Attributes:
        faces: finds faces.
        bodies: finds people with masks, and perhaps other kinds.
        rule: how bodies are cut for their generator: its dilated mask gives the box that a face must lie in.
        covered: share of a face's box that must lie in the masks of bodies, too, for it to be left to them. The
            published detector asks for the box alone (0), and leaves visible whom another body's box encloses.

    Raises:
        UsageError: a value is out of its range, or the detectors do not find faces and people.
    """

    faces: Detector
    bodies: Detector
    rule: BodyRule = field(default_factory=BodyRule)
    covered: float = 0.5

    def __post_init__(self) -> None:
        check_fraction("covered", self.covered)
        if self.faces.kinds != (FACE,) or FACE in self.bodies.kinds or not set(_BODIES) & set(self.bodies.kinds):
            raise UsageError("several kinds together need a detector of faces alone and one of people without faces.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Faces, then the kinds of the detector of bodies."""
        return (FACE, *self.bodies.kinds)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        rule = self.rule
        return {
            "detector": "MultiModal",
            "faces": self.faces.settings,
            "bodies": self.bodies.settings,
            "rule": [list(rule.size), rule.margin, rule.background, rule.dilation],
            "covered": self.covered,
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        check_images(images)
        faces, bodies = self.faces(images, relax=relax), self.bodies(images, relax=relax)
        return [(self._uncovered(found, others), *others) for (found,), others in zip(faces, bodies, strict=True)]

    def _uncovered(self, faces: Detections, others: Sequence[Detections]) -> Detections:
        # A body that may yet be dropped as too weak covers nobody
        bodies = [part.confirmed for part in others if part.kind in _BODIES and len(part.confirmed)]
        shown = [part.masks for part in bodies if part.masks is not None]
        if not len(faces) or not shown:
            return faces
        boxes = np.concatenate([hole_boxes(part, self.rule) for part in bodies])
        mask = np.any([masks.any(axis=0) for masks in shown], axis=0)
        left = [inside_any(face, boxes) and covered_share(face, mask) >= self.covered for face in np.rint(faces.boxes)]
        return faces[~np.array(left, bool)]


def hole_boxes(bodies: Detections, rule: BodyRule) -> NDArray[np.float32]:
    """(N, 4) boxes around what is painted anew of each body; empty ones for bodies that are not cut."""
    boxes = np.zeros((len(bodies), 4), np.float32)
    if bodies.masks is None:
        return boxes
    for row, mask in enumerate(bodies.masks):
        if mask.any():
            boxes[row] = rule.hole_box(mask, None if bodies.surface_boxes is None else bodies.surface_boxes[row])
    return boxes


def inside_any(box: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    """Whether (4,) lies in one of (N, 4), touching none of its edges."""
    return bool(((box[:2] > others[:, :2]).all(axis=1) & (box[2:] < others[:, 2:]).all(axis=1)).any())


def covered_share(box: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """How much of a box's part inside the frame lies in a mask (H, W); 1 if there is none."""
    x0, y0, x1, y1 = clipped(whole(box), *mask.shape)
    part = mask[y0:y1, x0:x1]
    return float(part.mean()) if x1 > x0 and y1 > y0 else 1.0
