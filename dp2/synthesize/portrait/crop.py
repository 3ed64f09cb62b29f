"""Cuts faces for dp2's own generator: a square, an oval hole, a coarse tone and blurred landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.faces.conditions import GROWN, LANDMARKS, MARGIN, Pose, blurred_landmarks, oval, pose, tone
from dp2.faces.crop_box import square
from dp2.geometry.bodies import clipped, padded, whole
from dp2.geometry.boxes import iou
from dp2.synthesize.crops import Crop, visible
from dp2.synthesize.resample import resize_portrait
from dp2.types import Box, Image, Refusal, Region, Steady

_SPARE = 1.1  # box against steady box, up to which the crop of the steady one has room for both
_SAME = 0.4  # least IoU of a box and its steady one; it is less after a leap, or as a file says


@dataclass(frozen=True, kw_only=True)
class PortraitCrop:
    """A square of 1.4 times the longer side around a face box; the hole is an oval a little larger than the box.

    On a track both follow the steady box, so that the new face does not tremble, and whether a face is served is
    decided by the steady score and landmarks, so that it does not come and go. The hole covers the frame's own box too.

    Attributes:
        size: (height, width) of the generator, equal.
        grown: the hole's sides in those of the box.
        smallest, largest: longer sides of face boxes in pixels that are served.
        most_yaw: how far a head may be turned to the side, see `dp2.faces.conditions.Pose`; beyond, faces melt.
        most_roll: how far it may be tilted, in degrees.
        surest: weakest score of a face; what hardly is one is not painted as one.
    """

    size: tuple[int, int] = (128, 128)
    grown: float = GROWN
    smallest: int = 8
    largest: int = 4096
    most_yaw: float = 0.9
    most_roll: float = 45.0
    surest: float = 0.0

    continues = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if self.size[0] != self.size[1]:
            raise UsageError(f"a portrait crop is square, not {self.size}.")

    @property
    def gives(self) -> tuple[str, ...]:
        """As in `Cropper`."""
        return ("keypoints", "tone")

    def box(self, region: Region, height: int, width: int) -> Box | Refusal:  # noqa: ARG002
        """As in `Cropper`."""
        seen = _steady(region)
        face = whole(seen.box)
        longest = max(face[2] - face[0], face[3] - face[1])
        if not self.smallest <= longest <= self.largest:
            return Refusal(f"a face of {longest} pixels")
        if seen.score < self.surest:
            return Refusal("a doubtful face")
        if seen.keypoints is None or len(seen.keypoints) != LANDMARKS:
            return Refusal("a face without landmarks")
        reason = self._turned(pose(seen.keypoints[:, :2], seen.box))
        return Refusal(reason) if reason else square(_with_room(face, whole(region.box)), MARGIN - 1)

    def _turned(self, found: Pose | None) -> str | None:
        if found is None:
            return "landmarks that are no face's"
        if abs(found.yaw) > self.most_yaw:
            return "a face in profile"
        return "a face upside down or lying" if abs(found.roll) > self.most_roll else None

    def cut(self, canvas: Image, region: Region, box: Box) -> Crop:
        """As in `Cropper`."""
        seen = _steady(region)
        if seen.keypoints is None:
            raise UsageError("a portrait crop needs landmarks.")
        image = self.resized(padded(canvas, box), visible(box, canvas))
        factor = self.size[0] / (box[2] - box[0])
        corner = np.array(box[:2], np.float64)
        face, own = ((one - np.tile(corner, 2)) * factor for one in (seen.box, region.box))
        hole = oval(face, self.size[0], self.grown) | oval(own, self.size[0], self.grown)
        colour = tone(image, face, self._within(canvas, box))
        # Chance by identity: on a track the landmarks are moved alike, so that the face does not tremble.
        points = (seen.keypoints[:, :2] - corner) / (box[2] - box[0])
        landmarks = blurred_landmarks(points, np.random.default_rng(region.identity % 2**63))
        return Crop(image, ~hole, box, {"keypoints": landmarks, "tone": colour})

    def resized(self, pixels: NDArray[np.generic], visible: tuple[int, int]) -> Image:
        """As in `Cropper`."""
        return resize_portrait(pixels, self.size, visible)

    def _within(self, canvas: Image, box: Box) -> NDArray[np.bool_]:
        """(h, w): which pixels of the crop lie in the frame."""
        factor = self.size[0] / (box[2] - box[0])
        left, top, right, bottom = clipped(box, *canvas.shape[:2])
        inside = np.zeros(self.size, np.bool_)
        columns = slice(int((left - box[0]) * factor), int(np.ceil((right - box[0]) * factor)))
        inside[int((top - box[1]) * factor) : int(np.ceil((bottom - box[1]) * factor)), columns] = True
        return inside


def _steady(region: Region) -> Steady:
    """A face as its track shows it; without a track as it is, and where that is elsewhere by its score alone."""
    if region.steady is None:
        return Steady(region.box, region.score, region.keypoints)
    if iou(region.box, region.steady.box)[0, 0] < _SAME:
        return Steady(region.box, region.steady.score, region.keypoints)
    return region.steady


def _with_room(face: Box, own: Box) -> Box:
    """`face`, grown around its centre where `own` reaches far beyond it."""
    reach = max(face[0] - own[0], face[1] - own[1], own[2] - face[2], own[3] - face[3])
    more = math.ceil(reach - (_SPARE - 1) / 2 * max(face[2] - face[0], face[3] - face[1]))
    return face if more <= 0 else (face[0] - more, face[1] - more, face[2] + more, face[3] + more)
