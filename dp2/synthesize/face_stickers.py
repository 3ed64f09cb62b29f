"""Pictures laid over faces, one a person: eyes over eyes, as De-facer replaces faces."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.geometry.boxes import union
from dp2.source.image import read_image
from dp2.source.sniff import is_image
from dp2.stages import Detector
from dp2.synthesize.fills import Blur
from dp2.synthesize.redact import Redaction
from dp2.types import FACE, Box, Detections, Image, PaintTask, Patch, Reach, Refusal, Region

Matrix = NDArray[np.float64]  # (2, 3) from the picture's pixels to the frame's

_MAX_SIDE = 1024  # pixels of a picture that are kept
_FACE_SCALE = 1.35  # of the face's box: what is shown of a photo without transparency
_WHOLE = 1.3  # times the face's box: what a picture without a face of its own covers
_LARGEST = 3.0  # times the longer side of the region: a picture with wide margins does not hide the frame
_EYES = 0.2  # of the face's width: eyes nearer to each other tell no direction


@dataclass(frozen=True, slots=True, eq=False)
class FaceSticker:
    """A picture to be laid over a face.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        alpha: (h, w) float32 in [0, 1].
        face: (4,) x0 y0 x1 y1 of the face in it; the whole picture if none was found.
        eyes: (2, 2) x y, left in the picture first; or None.
    """

    pixels: Image
    alpha: NDArray[np.float32]
    face: NDArray[np.float32]
    eyes: NDArray[np.float32] | None


@dataclass(frozen=True, kw_only=True)
class FaceStickers:
    """A `Synthesizer` of faces. Below each picture the face is redacted, so that none of it shows at the sides.

    A person gets the picture that follows from seed and identity: the same one as long as the identity lasts.
    As many people as there are pictures, in the order of their identities, get different ones.

    Attributes:
        folder: of pictures that `dp2.source.image.read_image` reads; with transparency they are shown as they are,
            of a photo without it only the face.
        faces: finds the faces in the pictures, with 5 landmarks; None = the whole picture counts as the face.
        under: what is put below.
        seed: of the order of the pictures.

    Raises:
        UsageError: the folder holds no pictures.
        MediaError: a picture cannot be read.
    """

    folder: str | os.PathLike[str]
    faces: Detector | None = None
    under: Redaction = field(default_factory=lambda: Redaction(fill=Blur()))
    seed: int = 0
    _stickers: tuple[FaceSticker, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        folder = Path(self.folder)
        paths = sorted(path for path in folder.glob("*") if path.is_file() and is_image(path))
        if not paths:
            raise UsageError(f"{folder}: holds no pictures to lay over faces.")
        paths.sort(key=lambda path: hashlib.sha256(f"{self.seed} {path.name}".encode()).digest())
        object.__setattr__(self, "_stickers", tuple(load_face_sticker(path, self.faces) for path in paths))

    def reach(self, region: Region, height: int, width: int) -> Reach:
        """See `dp2.stages.Synthesizer`."""
        below = self.under.reach(region, height, width)
        write = union(below.write, self._placed(region, height, width)[1])
        return Reach(view=union(below.view, write), write=write)

    def synthesize(self, tasks: Sequence[PaintTask], seed: int) -> list[Patch | Refusal]:
        """See `dp2.stages.Synthesizer`."""
        return [self._over(task, below) for task, below in zip(tasks, self.under.synthesize(tasks, seed), strict=True)]

    def _over(self, task: PaintTask, below: Patch | Refusal) -> Patch | Refusal:
        if isinstance(below, Refusal):
            return below
        height, width = task.canvas.shape[:2]
        sticker = self._stickers[task.region.identity % len(self._stickers)]
        matrix, shown = self._placed(task.region, height, width)
        h, w = below.alpha.shape
        x0, y0, x1, y1 = union((below.x, below.y, below.x + w, below.y + h), shown)
        pixels = task.canvas[y0:y1, x0:x1].astype(np.float32)
        alpha = np.zeros((y1 - y0, x1 - x0), np.float32)
        inner = np.s_[below.y - y0 : below.y - y0 + h, below.x - x0 : below.x - x0 + w]
        share = below.alpha[..., None]
        pixels[inner] = below.pixels * share + pixels[inner] * (1 - share)
        alpha[inner] = below.alpha > 0
        colours, weight = _warped(sticker, matrix - np.array([[0, 0, x0], [0, 0, y0]]), (x1 - x0, y1 - y0))
        mixed = colours * weight[..., None] + pixels * (1 - weight[..., None])
        return Patch(x0, y0, np.rint(mixed).astype(np.uint8), np.maximum(alpha, weight > 0).astype(np.float32))

    def _placed(self, region: Region, height: int, width: int) -> tuple[Matrix, Box]:
        """How the picture lies in the frame, and the rectangle around what is visible of it."""
        sticker = self._stickers[region.identity % len(self._stickers)]
        matrix = placement(sticker, region)
        h, w = sticker.alpha.shape
        corners = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]], np.float64) @ matrix.T
        low, high = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 1
        x0, y0 = np.clip(low, 0, (width, height)).astype(int).tolist()
        x1, y1 = np.clip(high, 0, (width, height)).astype(int).tolist()
        return matrix, (x0, y0, x1, y1)


def load_face_sticker(path: Path, faces: Detector | None) -> FaceSticker:
    """Read a picture and look for the surest face in it.

    Raises:
        MediaError: it cannot be read.
    """
    picture = read_image(path)
    pixels, alpha = picture.image, picture.alpha
    factor = min(_MAX_SIDE / max(pixels.shape[:2]), 1.0)
    if factor < 1:
        size = max(round(pixels.shape[1] * factor), 1), max(round(pixels.shape[0] * factor), 1)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        alpha = None if alpha is None else cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    height, width = pixels.shape[:2]
    found = _surest(pixels, faces)
    eyes: NDArray[np.float32] | None = None
    if found is None:  # it is a face by itself: it covers hair and chin too
        margin = (1 - 1 / _WHOLE) / 2
        face = np.array([margin * width, margin * height, (1 - margin) * width, (1 - margin) * height], np.float32)
    else:
        face = found.boxes[0]
        eyes = None if found.keypoints is None else found.keypoints[0, :2, :2]
    cover: NDArray[np.float32] = np.ones((height, width), np.float32)
    if alpha is not None and alpha.min() < 255:
        cover = (alpha / np.float32(255)).astype(np.float32)
    elif found is not None:
        cover = _oval(face, height, width)
    return FaceSticker(np.ascontiguousarray(pixels), cover, face, eyes)


def _surest(pixels: Image, faces: Detector | None) -> Detections | None:
    """The row of the surest face in a picture."""
    if faces is None:
        return None
    found = next(part for part in faces([pixels])[0] if part.kind == FACE).confirmed
    return found[int(found.scores.argmax())] if len(found) else None


def placement(sticker: FaceSticker, region: Region) -> Matrix:
    """(2, 3) from the picture to the frame: eyes over eyes where both are known, else box over box.

    The eyes tell place and rotation; the size is that at which the face of the picture covers the region's box.
    """
    x0, y0, x1, y1 = region.box.astype(np.float64)
    u0, v0, u1, v1 = sticker.face.astype(np.float64)
    scale = max((x1 - x0) / max(u1 - u0, 1), (y1 - y0) / max(v1 - v0, 1), 1e-6)
    longest = max(sticker.alpha.shape)
    scale = min(scale, _LARGEST * max(x1 - x0, y1 - y0, 4.0) / longest)
    source, target, angle = np.array([u0 + u1, v0 + v1]) / 2, np.array([x0 + x1, y0 + y1]) / 2, 0.0
    seen = _eyes(region)
    if seen is not None and sticker.eyes is not None:
        source, target = sticker.eyes.mean(axis=0).astype(np.float64), seen.mean(axis=0)
        own, theirs = sticker.eyes[1] - sticker.eyes[0], seen[1] - seen[0]
        angle = math.atan2(theirs[1], theirs[0]) - math.atan2(float(own[1]), float(own[0]))
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.column_stack([turn, target - turn @ source])


def _eyes(region: Region) -> NDArray[np.float64] | None:
    """(2, 2) x y, left in the picture first; None where they are not known, or the face is in profile."""
    points = region.keypoints
    if points is None or len(points) != 5 or (points[:2, 2] <= 0).any() or not np.isfinite(points[:2]).all():
        return None
    eyes: NDArray[np.float64] = points[:2, :2].astype(np.float64)
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    inside = (eyes >= region.box[:2]).all() and (eyes <= region.box[2:]).all()
    return eyes if inside and apart >= _EYES * float(region.box[2] - region.box[0]) else None


def _warped(
    sticker: FaceSticker, matrix: Matrix, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(h, w, 3) colours and (h, w) alpha of a picture as it lies in a patch of size (width, height)."""
    colours, cover = sticker.pixels, sticker.alpha
    factor = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if factor < 1:  # averaged down first, so that it does not flicker
        small = max(round(cover.shape[1] * factor), 1), max(round(cover.shape[0] * factor), 1)
        scale = np.array([cover.shape[1] / small[0], cover.shape[0] / small[1], 1.0])
        colours, cover = (cv2.resize(part, small, interpolation=cv2.INTER_AREA) for part in (colours, cover))
        matrix = matrix * scale
    shift = 0.5 * matrix[:, :2].sum(axis=1) - 0.5  # OpenCV's pixels have their centres at whole numbers
    centred = np.column_stack([matrix[:, :2], matrix[:, 2] + shift])
    shown = cv2.warpAffine(colours, centred, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight: NDArray[np.float32] = cv2.warpAffine(cover, centred, size, flags=cv2.INTER_LINEAR).clip(0, 1)
    return shown.astype(np.float32), weight


def _oval(face: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """(H, W) float32: an ellipse around a face, soft at its edge."""
    x0, y0, x1, y1 = face.astype(np.float64)
    half = np.array([x1 - x0, y1 - y0]) * _FACE_SCALE / 2
    x = (np.arange(width) + 0.5 - (x0 + x1) / 2) / half[0]
    y = (np.arange(height) + 0.5 - (y0 + y1) / 2) / half[1]
    radius = np.hypot(x[None], y[:, None])
    cover: NDArray[np.float32] = np.clip((1 - radius) * 12, 0, 1).astype(np.float32)
    return cover
