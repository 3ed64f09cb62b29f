"""When two faces are the same person's: the settings of a keep-list, and what it reads of a face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.faces.embedding import FaceEmbedder
from dp2.faces.quality import face_quality
from dp2.geometry.boxes import iou
from dp2.stages import Detector
from dp2.types import FACE, Detections, Image

Vectors = NDArray[np.float32]  # (N, channels) of length 1
_AROUND = 0.5  # of the box's sides: what a detector is shown around a face, on each side
_SAME = 0.3  # IoU from which a face found again is the one that was asked for
_HEAD = 0.5  # of a body's height, from its top: where its face is looked for


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Distances are Euclidean ones between embeddings of length 1: 0 = the same picture, 1.41 = nothing in common.

    Attributes:
        embedder: turns faces into vectors.
        faces: finds faces in reference pictures, and landmarks of faces that come without.
        distance: up to this mean distance to a reference it is the same person.
        doubt: a single clear face further away than `distance` and this is somebody else's.
        margin: by this much the better of two faces that show at the same time must be nearer to a person; if neither
            is, neither counts as him.
        samples: number of clear faces that a track must have shown before it is decided about.
        interval: seconds between two looks at a track that is decided about.
        min_score, min_size, min_frontal, min_sharpness: below one of them a face is not clear, see
            `dp2.faces.quality.FaceQuality`; the size is the shorter side of the box in pixels.
        recheck: every face has to be found by `faces` too, and its score there counts.

    Raises:
        UsageError: a value is out of its range.
    """

    embedder: FaceEmbedder
    faces: Detector
    distance: float = 0.9
    doubt: float = 0.15
    margin: float = 0.05
    samples: int = 3
    interval: float = 0.4
    min_score: float = 0.5
    min_size: float = 28.0
    min_frontal: float = 0.4
    min_sharpness: float = 0.1
    recheck: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.distance <= self.veto < 2:
            raise UsageError(f"distance={self.distance}, doubt={self.doubt}: not above 0, or 2 and more in sum.")
        if self.samples < 1 or not 0 <= self.interval < math.inf or self.margin < 0:
            raise UsageError("samples must be 1 or more, interval and margin not negative.")

    @property
    def veto(self) -> float:
        """The distance beyond which a single clear face is somebody else's."""
        return self.distance + self.doubt


@dataclass(frozen=True, slots=True, eq=False)
class ClearFace:
    """A face that can be compared.

    Attributes:
        row: of the detections that were asked about.
        box: (4,) x0 y0 x1 y1 in pixels.
        landmarks: (5, 2) x y in pixels.
    """

    row: int
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]


def clear_faces(matching: Matching, image: Image, detections: Detections, rows: Sequence[int]) -> list[ClearFace]:
    """The faces among some rows of detections that are clear enough to be compared.

    Args:
        image: (H, W, 3) uint8 RGB.
        detections: faces, or bodies, whose faces are then looked for.
        rows: which to look at.
    """
    found = [_face(matching, image, detections, row) for row in rows]
    return [face for face in found if face is not None and is_clear(matching, image, face)]


def embed(matching: Matching, image: Image, faces: Sequence[ClearFace]) -> Vectors:
    """(N, channels) float32 of length 1."""
    if not faces:
        return np.zeros((0, matching.embedder.channels), np.float32)
    boxes, landmarks = np.stack([face.box for face in faces]), np.stack([face.landmarks for face in faces])
    return matching.embedder([image] * len(faces), boxes, landmarks)


def is_clear(matching: Matching, image: Image, face: ClearFace) -> bool:
    """Whether it lies in the picture and is large, frontal and sharp enough."""
    height, width = image.shape[:2]
    points = face.landmarks
    if not np.isfinite(points).all() or (points < 0).any() or (points >= (width, height)).any():
        return False
    if (np.ptp(points, axis=0) < 2).any() or min(face.box[2:] - face.box[:2]) < matching.min_size:
        return False
    quality = face_quality(image, face.box, points)
    return quality.frontal >= matching.min_frontal and quality.sharpness >= matching.min_sharpness


def _face(matching: Matching, image: Image, detections: Detections, row: int) -> ClearFace | None:
    """The face of a row with its landmarks, if it is found and scores enough."""
    box = detections.boxes[row]
    if detections.kind != FACE:
        return _face_of_body(matching, image, detections, row)
    if not matching.recheck and detections.scores[row] < matching.min_score:
        return None
    known = detections.keypoints
    if not matching.recheck and known is not None and known.shape[1] == 5 and (known[row, :, 2] > 0).all():
        return ClearFace(row, box, known[row, :, :2])
    margin = _AROUND * (box[2:] - box[:2])
    again = _found(matching, image, np.concatenate([box[:2] - margin, box[2:] + margin]))
    same = np.flatnonzero(iou(box, again.boxes)[0] >= _SAME)
    return _single(row, again, same.tolist())


def _face_of_body(matching: Matching, image: Image, bodies: Detections, row: int) -> ClearFace | None:
    """Of a body that shows exactly one face."""
    x0, y0, x1, y1 = bodies.boxes[row].tolist()
    bottom = min(y0 + max(_HEAD * (y1 - y0), x1 - x0), y1)  # of a bust, the head is more than its upper half
    found = _found(matching, image, np.array([x0, y0, x1, bottom]))
    own = list(range(len(found)))
    if bodies.masks is not None:
        centres = ((found.boxes[:, :2] + found.boxes[:, 2:]) / 2).astype(int)
        height, width = image.shape[:2]
        own = [i for i, (x, y) in enumerate(centres) if bodies.masks[row, min(y, height - 1), min(x, width - 1)]]
    return _single(row, found, own)


def _single(row: int, found: Detections, which: Sequence[int]) -> ClearFace | None:
    if len(which) != 1 or found.keypoints is None:
        return None
    return ClearFace(row, found.boxes[which[0]], found.keypoints[which[0], :, :2])


def _found(matching: Matching, image: Image, window: NDArray[np.floating]) -> Detections:
    """The sure faces in a window of the picture, in the picture's pixels."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = np.rint(np.clip(window, 0, [width, height, width, height])).astype(int)
    if x1 - x0 < matching.min_size or y1 - y0 < matching.min_size:
        return Detections.empty(FACE)
    (parts,) = matching.faces([np.ascontiguousarray(image[y0:y1, x0:x1])])
    faces = next(part for part in parts if part.kind == FACE).confirmed
    faces = faces[faces.scores >= matching.min_score]
    shift = np.array([x0, y0], np.float32)
    points = faces.keypoints
    if points is not None:
        points = np.concatenate([points[:, :, :2] + shift, points[:, :, 2:]], 2)
    return faces.with_(boxes=faces.boxes + np.tile(shift, 2), keypoints=points)
