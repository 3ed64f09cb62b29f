"""From a region of a frame to what a generator sees: a rectangle at its resolution, a hole, and the conditions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.faces.crop_box import fitted_square, square
from dp2.geometry.bodies import BodyRule, clipped, nearest, padded, whole
from dp2.synthesize.resample import resize_face, resize_image
from dp2.synthesize.surface import VertexMap, surface_condition, surface_place
from dp2.types import Box, Image, Refusal, Region

_FACE_KEYPOINTS = 7  # DeepPrivacy1: nose, eyes, ears, shoulders, the first of COCO's
_LARGEST_SURFACE = 4  # times the crop, to which surfaces from a file are resized


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
    conditions: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class Cropper(Protocol):
    """Cuts the regions of one kind for one family of generators."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of crops."""

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the conditions of its crops."""

    @property
    def continues(self) -> bool:
        """Beyond the frame the picture goes on as at its edge; else it is black, as published."""

    def box(self, region: Region, height: int, width: int) -> Box | Refusal:
        """The rectangle that `cut` cuts, or why there is none."""

    def cut(self, canvas: Image, region: Region, box: Box) -> Crop:
        """The crop of `box`."""

    def resized(self, pixels: NDArray[np.generic], visible: tuple[int, int]) -> Image:
        """The pixels of a box, (H, W, 3), at `size`, as `cut` does it; `visible` as of `resize_face`."""


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

    continues = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if self.size[0] != self.size[1]:
            raise UsageError(f"a face crop is square, not {self.size}.")

    @property
    def gives(self) -> tuple[str, ...]:
        """As in `Cropper`."""
        return ("keypoints",) if self.keypoints else ()

    def box(self, region: Region, height: int, width: int) -> Box | Refusal:
        """As in `Cropper`."""
        face = whole(region.box)
        sides = face[2] - face[0], face[3] - face[1]
        if min(sides) < self.smallest or max(sides) > self.largest:
            return Refusal(f"a face of {sides[0]}x{sides[1]} pixels")
        if self.keypoints and not _has_face_keypoints(region):
            return Refusal("a face without keypoints")
        return fitted_square(face, 0.35, height, width) if self.fitted else square(face, 0.4)

    def cut(self, canvas: Image, region: Region, box: Box) -> Crop:
        """As in `Cropper`."""
        image = self.resized(padded(canvas, box), visible(box, canvas))
        factor = self.size[0] / (box[2] - box[0])
        x0, y0, x1, y1 = whole(region.box)
        hole = [
            int((value - start) * factor) for value, start in ((x0, box[0]), (y0, box[1]), (x1, box[0]), (y1, box[1]))
        ]
        left, top, right, bottom = clipped((hole[0], hole[1], hole[2], hole[3]), *self.size)
        keep = np.ones(self.size, np.bool_)
        keep[top:bottom, left:right] = False
        return Crop(image, keep, box, self._conditions(region, box))

    def resized(self, pixels: NDArray[np.generic], visible: tuple[int, int]) -> Image:
        """As in `Cropper`."""
        return resize_face(pixels, self.size, visible)

    def _conditions(self, region: Region, box: Box) -> dict[str, NDArray[np.float32]]:
        if not self.keypoints or region.keypoints is None:
            return {}
        points = region.keypoints[:_FACE_KEYPOINTS, :2].astype(np.float32)
        points = (points - np.array(box[:2], np.float32)) / np.float32(box[2] - box[0])
        seen = np.ones((_FACE_KEYPOINTS, 1), np.float32)
        return {"keypoints": np.concatenate([points.clip(0, 1), seen], axis=1)}


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
        embedding: registry name or file of the CSE checkpoint whose mesh surfaces are looked up in; None = the
            generator takes no surface. A body without a surface is refused then.
        device: where the look-up runs.

    Raises:
        MissingWeights: the checkpoint is not on this machine.
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
    embedding: str | None = None
    device: str = "auto"
    continues = False
    _rule: BodyRule = field(init=False, repr=False)
    _vertices: VertexMap | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        rule = BodyRule(size=self.size, margin=self.margin, background=self.background, dilation=self.dilation)
        vertices = None if self.embedding is None else VertexMap(self.embedding, self.device)
        object.__setattr__(self, "_rule", rule)
        object.__setattr__(self, "_vertices", vertices)

    @property
    def gives(self) -> tuple[str, ...]:
        """As in `Cropper`."""
        given = {
            "keypoints": self.keypoints,
            "joint_map": self.joint_map,
            "silhouette": self.silhouette,
            "embedding": self.embedding is not None,
        }
        return tuple(name for name, is_given in given.items() if is_given)

    def box(self, region: Region, height: int, width: int) -> Box | Refusal:  # noqa: ARG002
        """As in `Cropper`. The frame's size is the mask's."""
        if region.mask is None or not region.mask.any():
            return Refusal("a body without a mask")
        if (self.keypoints or self.joint_map) and region.keypoints is None:
            return Refusal("a body without keypoints")
        if self.embedding is not None and (region.surface is None or region.surface_box is None):
            return Refusal("a body without a surface")
        box = self._rule.box(region.mask, None if self.embedding is None else region.surface_box)
        pixels = (box[2] - box[0]) * (box[3] - box[1])
        if pixels < self.smallest:
            return Refusal(f"a body of {pixels} pixels")
        if self.embedding is not None and region.surface_box is not None:
            x0, y0, x1, y1 = surface_place(region.surface_box, box, self.size)
            if y1 - y0 > _LARGEST_SURFACE * self.size[0] or x1 - x0 > _LARGEST_SURFACE * self.size[1]:
                return Refusal("a surface far larger than its body")
        return box

    def cut(self, canvas: Image, region: Region, box: Box) -> Crop:
        """As in `Cropper`."""
        if region.mask is None:
            raise UsageError("a body crop needs a mask.")
        outline = self._rule.outline(region.mask, box)
        body = self._rule.hole(outline, box, region.mask.shape)
        image = self.resized(padded(canvas, box), visible(box, canvas))
        conditions = self._conditions(region, box)
        if self._vertices is not None and region.surface is not None and region.surface_box is not None:
            conditions["embedding"] = surface_condition(
                region.surface, region.surface_box, box, self.size, self._vertices
            )
        if self.silhouette:
            conditions["silhouette"] = outline.astype(np.float32)[None]
        return Crop(image, ~body, box, conditions)

    def resized(self, pixels: NDArray[np.generic], visible: tuple[int, int]) -> Image:
        """As in `Cropper`."""
        return resize_image(pixels, self.size, visible)

    def _conditions(self, region: Region, box: Box) -> dict[str, NDArray[np.float32]]:
        if not (self.keypoints or self.joint_map) or region.keypoints is None:
            return {}
        points = region.keypoints.astype(np.float32)
        size = np.array([box[2] - box[0], box[3] - box[1]], np.float32)
        places = (points[:, :2] - np.array(box[:2], np.float32)) / size
        within = ((places >= 0) & (places <= 1)).all(axis=1)
        seen = (points[:, 2] >= self.visibility) & within
        keypoints = np.concatenate([places, seen[:, None].astype(np.float32)], axis=1)
        conditions = {"keypoints": keypoints} if self.keypoints else {}
        if self.joint_map:
            from dp2.models.joint_map import draw_joint_map

            conditions["joint_map"] = draw_joint_map(keypoints, *self.size).astype(np.float32)
        return conditions


def _has_face_keypoints(region: Region) -> bool:
    points = region.keypoints
    return points is not None and len(points) >= _FACE_KEYPOINTS and bool((points[:_FACE_KEYPOINTS, 2] > 0).any())


def sealed(cropper: Cropper, canvas: Image, crop: Crop) -> Crop:
    """The same crop without a trace of what lies in its hole.

    Resampling mixes pixels of the hole into kept ones beside it, as published. Here the surroundings are continued
    into the hole first.
    """
    x0, y0, _, _ = crop.box
    left, top, right, bottom = clipped(crop.box, canvas.shape[0], canvas.shape[1])
    view = slice(top - y0, bottom - y0), slice(left - x0, right - x0)
    pixels = np.array(padded(canvas, crop.box))
    known = ~hole_of(crop)
    if cropper.continues:
        framed = np.zeros_like(known)
        framed[view] = known[view]
        pixels = continued(pixels, framed)
    else:
        pixels[view] = continued(pixels[view], known[view])
    return replace(crop, image=cropper.resized(pixels, visible(crop.box, canvas)))


def hole_of(crop: Crop) -> NDArray[np.bool_]:
    """(H, W) bool: the hole of a crop in pixels of the frame, over all of its box."""
    size = crop.box[3] - crop.box[1], crop.box[2] - crop.box[0]
    hole: NDArray[np.bool_] = ~nearest(crop.keep, size).astype(np.bool_)
    return hole


def continued(pixels: NDArray[np.generic], known: NDArray[np.bool_]) -> NDArray[np.generic]:
    """Pixels (H, W, C) that are not known take the nearest one that is; 0 if none is."""
    if not known.any():
        return np.zeros_like(pixels)
    _, labels = cv2.distanceTransformWithLabels(
        (~known).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest_known = np.zeros(int(labels.max()) + 1, np.intp)
    nearest_known[labels[known]] = np.flatnonzero(known)
    filled: NDArray[np.generic] = pixels.reshape(-1, pixels.shape[2])[nearest_known[labels]]
    return filled


def visible(box: Box, picture: NDArray[np.generic]) -> tuple[int, int]:
    """(height, width) of the part of a box inside a picture."""
    x0, y0, x1, y1 = clipped(box, picture.shape[0], picture.shape[1])
    return max(0, y1 - y0), max(0, x1 - x0)
