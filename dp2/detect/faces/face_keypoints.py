"""Faces with the keypoints of the people they belong to: the detector of DeepPrivacy1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import check_images, check_relax
from dp2.errors import DetectionError, UsageError
from dp2.stages import Detector
from dp2.types import FACE, PERSON, Detections, Image

_SHARED = 7  # nose, eyes, ears, shoulders: the first of COCO's keypoints
_INSIDE = 3  # of them, nose and eyes must lie in the face


@dataclass(frozen=True)
class FaceKeypoints:
    """Gives each face the first seven COCO keypoints of the first person whose nose and eyes lie in its box.

    Each person serves one face. A face without a person has keypoints of confidence 0 (the published detector drops
    it): its generator refuses it, and classic redaction covers it.

    Attributes:
        faces: finds faces; keypoints of its own are replaced.
        people: finds people with keypoints.

    Raises:
        UsageError: the detectors do not find faces and people.
    """

    faces: Detector
    people: Detector

    def __post_init__(self) -> None:
        if self.faces.kinds != (FACE,) or self.people.kinds != (PERSON,):
            raise UsageError("faces with keypoints need a detector of faces alone and one of people alone.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Faces."""
        return (FACE,)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {"detector": "FaceKeypoints", "faces": self.faces.settings, "people": self.people.settings}

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`. The threshold on people is not relaxed: they only lend their keypoints."""
        check_relax(relax)
        check_images(images)
        found = self.faces(images, relax=relax)
        people = self.people(images)
        return [
            (faces.with_(keypoints=face_keypoints(faces.boxes, _keypoints_of(persons))),)
            for (faces,), (persons,) in zip(found, people, strict=True)
        ]


def face_keypoints(boxes: NDArray[np.float32], people: NDArray[np.float32]) -> NDArray[np.float32]:
    """The keypoints of faces.

    Args:
        boxes: (N, 4) of faces.
        people: (M, K, 3) keypoints, best person first; K is at least 7.

    Returns:
        (N, 7, 3), zeros for a face without a person.
    """
    given = np.zeros((len(boxes), _SHARED, 3), np.float32)
    free = list(range(len(people)))
    for face, box in zip(given, np.rint(boxes), strict=True):  # whole pixels, as published
        for person in free:
            points = people[person, :_INSIDE, :2]
            if (points >= box[:2]).all() and (points <= box[2:]).all():
                face[:] = people[person, :_SHARED]
                free.remove(person)
                break
    return given


def _keypoints_of(people: Detections) -> NDArray[np.float32]:
    if not len(people):
        return np.zeros((0, _SHARED, 3), np.float32)
    if people.keypoints is None or people.keypoints.shape[1] < _SHARED:
        raise DetectionError("the people that should lend their keypoints to faces have none")
    return people.keypoints
