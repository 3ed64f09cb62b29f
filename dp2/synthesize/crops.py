"""From a region of a frame to what a generator sees: a rectangle at its resolution, a hole, and the conditions."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.synthesize.geometry import body_box, clipped, fitted_square, square, whole
from dp2.synthesize.resample import nearest, resize_face, resize_image
from dp2.types import Box, Image, Refusal, Region

if TYPE_CHECKING:
    from torch import Tensor

_FACE_KEYPOINTS = 7  # DeepPrivacy1: nose, eyes, ears, shoulders, the first of COCO's


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What a generator sees of one region.

    Attributes:
        image: (h, w, 3) uint8 RGB, 0 beyond the frame; what lies in the hole is for nobody's eyes.
        keep: (h, w) bool, False in the hole.
        box: where it was cut, in pixels of the frame; may leave it.
        conditions: further inputs of the generator without the batch axis, float32.
    """

    image: Image
    keep: NDArray[np.bool_]
    box: Box
    conditions: dict[str, Tensor] = field(default_factory=dict)


class Cropper(Protocol):
    """Cuts the regions of one kind for one family of generators."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of crops."""

    def box(self, region: Region, height: int, width: int) -> Box | Refusal:
        """The rectangle that `cut` cuts, or why there is none."""

    def cut(self, canvas: Image, region: Region, box: Box) -> Crop:
        """The crop of `box`."""


@dataclass(frozen=True, kw_only=True)
class FaceCrop:
    """A square around a face box; the hole is the box itself.

    Attributes:
        size: (height, width) of the generator, equal.
        fitted: a square inside the frame where there is room (FDF128), else 1.4 times the longer side (FDF256).
        keypoints: give the first seven COCO keypoints along; a face without them is refused.
        smallest, largest: sides of face boxes in pixels that are served.
    """

    size: tuple[int, int] = (256, 256)
    fitted: bool = False
    keypoints: bool = False
    smallest: int = 4
    largest: int = 4096

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if self.size[0] != self.size[1]:
            raise UsageError(f"a face crop is square, not {self.size}.")

    def box(self, region: Region, height: int, width: int) -> Box | Refusal:
        """As in `Cropper`."""
        face = whole(region.box)
        sides = face[2] - face[0], face[3] - face[1]
        if min(sides) < self.smallest or max(sides) > self.largest:
            return Refusal(f"a face of {sides[0]}x{sides[1]} pixels")
        if self.keypoints and (region.keypoints is None or len(region.keypoints) < _FACE_KEYPOINTS):
            return Refusal("a face without keypoints")
        return fitted_square(face, 0.35, height, width) if self.fitted else square(face, 0.4)

    def cut(self, canvas: Image, region: Region, box: Box) -> Crop:
        """As in `Cropper`."""
        image = resize_face(padded(canvas, box), self.size, visible(box, canvas))
        factor = self.size[0] / (box[2] - box[0])
        x0, y0, x1, y1 = whole(region.box)
        hole = [
            int((value - start) * factor) for value, start in ((x0, box[0]), (y0, box[1]), (x1, box[0]), (y1, box[1]))
        ]
        left, top, right, bottom = clipped((hole[0], hole[1], hole[2], hole[3]), *self.size)
        keep = np.ones(self.size, np.bool_)
        keep[top:bottom, left:right] = False
        return Crop(image, keep, box, self._conditions(region, box))

    def _conditions(self, region: Region, box: Box) -> dict[str, Tensor]:
        if not self.keypoints or region.keypoints is None:
            return {}
        import torch

        points = torch.from_numpy(region.keypoints[:_FACE_KEYPOINTS, :2].astype(np.float32))
        points = (points - torch.tensor(box[:2], dtype=torch.float32)) / (box[2] - box[0])
        return {"keypoints": torch.cat([points.clamp(0, 1), torch.ones(_FACE_KEYPOINTS, 1)], dim=1)}


@dataclass(frozen=True, kw_only=True)
class BodyCrop:
    """A rectangle around a body's mask; the hole is the mask, dilated.

    Attributes:
        size: (height, width) of the generator.
        margin, background: as in `body_box`.
        dilation: radius of the dilation as a share of the root of the crop's area.
        smallest: least area of the rectangle in pixels.
        keypoints: give 17 COCO keypoints along; a body without them is refused.
        visibility: confidence from which a keypoint counts as seen.
        joint_map: draw the skeleton for the generator.
        silhouette: give the mask before dilation along, (1, h, w), 1 = body.
    """

    size: tuple[int, int] = (288, 160)
    margin: float = 0.1
    background: float = 0.3
    dilation: float = 0.02
    smallest: int = 32 * 32
    keypoints: bool = False
    visibility: float = 0.3
    joint_map: bool = False
    silhouette: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))

    def box(self, region: Region, height: int, width: int) -> Box | Refusal:
        """As in `Cropper`."""
        if region.mask is None or not region.mask.any():
            return Refusal("a body without a mask")
        if (self.keypoints or self.joint_map) and region.keypoints is None:
            return Refusal("a body without keypoints")
        area = int(region.mask.sum())
        aspect = self.size[0] / self.size[1]
        box = body_box(
            mask_box(region.mask), area, height, width, aspect=aspect, margin=self.margin, background=self.background
        )
        pixels = (box[2] - box[0]) * (box[3] - box[1])
        return box if pixels >= self.smallest else Refusal(f"a body of {pixels} pixels")

    def cut(self, canvas: Image, region: Region, box: Box) -> Crop:
        """As in `Cropper`."""
        if region.mask is None:
            raise UsageError("a body crop needs a mask.")
        radius = int(sqrt(self.size[0] * self.size[1]) * self.dilation)
        outline = nearest(padded(region.mask, box), self.size).astype(np.bool_)
        body = dilated(outline, radius)
        body &= inside_frame(box, self.size, region.mask.shape)
        image = resize_image(padded(canvas, box), self.size, visible(box, canvas))
        conditions = self._conditions(region, box)
        if self.silhouette:
            import torch

            conditions["silhouette"] = torch.from_numpy(outline).float()[None]
        return Crop(image, ~body, box, conditions)

    def _conditions(self, region: Region, box: Box) -> dict[str, Tensor]:
        if not (self.keypoints or self.joint_map) or region.keypoints is None:
            return {}
        import torch

        from dp2.models.joint_map import draw_joint_map

        points = torch.from_numpy(region.keypoints.astype(np.float32))
        size = torch.tensor([box[2] - box[0], box[3] - box[1]], dtype=torch.float32)
        places = (points[:, :2] - torch.tensor(box[:2], dtype=torch.float32)) / size
        within = ((places >= 0) & (places <= 1)).all(dim=1)
        seen = ((points[:, 2] >= self.visibility) & within).float()
        keypoints = torch.cat([places, seen[:, None]], dim=1)
        conditions = {"keypoints": keypoints} if self.keypoints else {}
        if self.joint_map:
            drawing = draw_joint_map(keypoints.numpy(), *self.size)
            conditions["joint_map"] = torch.from_numpy(drawing).float()
        return conditions


def padded(picture: NDArray[np.generic], box: Box) -> NDArray[np.generic]:
    """The pixels of a box that may leave the picture, (H, W) or (H, W, C); 0 beyond."""
    x0, y0, x1, y1 = box
    height, width = picture.shape[:2]
    left, top, right, bottom = clipped(box, height, width)
    if (left, top, right, bottom) == box:
        return picture[y0:y1, x0:x1]
    out = np.zeros((y1 - y0, x1 - x0, *picture.shape[2:]), picture.dtype)
    if right > left and bottom > top:
        out[top - y0 : bottom - y0, left - x0 : right - x0] = picture[top:bottom, left:right]
    return out


def visible(box: Box, picture: NDArray[np.generic]) -> tuple[int, int]:
    """(height, width) of the part of a box inside a picture."""
    x0, y0, x1, y1 = clipped(box, picture.shape[0], picture.shape[1])
    return max(0, y1 - y0), max(0, x1 - x0)


def mask_box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around the True pixels of (H, W), of which there is at least one."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def dilated(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Dilation of (H, W) by a disk x² + y² <= radius²."""
    axis = np.arange(-radius, radius + 1)
    disk = (axis[:, None] ** 2 + axis**2 <= radius**2).astype(np.uint8)
    grown: NDArray[np.bool_] = cv2.dilate(mask.astype(np.uint8), disk, borderType=cv2.BORDER_CONSTANT) > 0
    return grown


def inside_frame(box: Box, size: tuple[int, int], frame: tuple[int, ...]) -> NDArray[np.bool_]:
    """(h, w) bool of a crop: False in the padding, so that a dilated hole does not reach into it."""
    x0, y0, x1, y1 = box
    beyond = max(0, -x0), max(0, -y0), max(0, x1 - frame[1]), max(0, y1 - frame[0])
    left, top, right, bottom = (int(pad * size[0] / (y1 - y0)) for pad in beyond)  # one factor, as published
    inside = np.zeros(size, np.bool_)
    inside[top : size[0] - bottom, left : size[1] - right] = True
    return inside
