"""Cuts the AI-made people of the package openpeople out of their photos."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dp2.detect.people.matte import SelfieMatte

WIDTH = 848  # pixels, at which photos are cut: half of theirs
_TILES = 5  # squares from head to feet, each as high as half the person, seen on their own
_LEAST = 0.5  # share of a tile's or the photo's matte that says "person"


@dataclass(frozen=True, slots=True)
class Cutout:
    """A person without surroundings.

    Attributes:
        colour: (H, W, 3) float32 in [0, 255] RGB, carried on beyond the outline.
        cover: (H, W) float32 in [0, 1].
    """

    colour: NDArray[np.float32]
    cover: NDArray[np.float32]

    def sized(self, height: int) -> Cutout:
        """The same person, `height` pixels tall."""
        size = (max(1, round(self.cover.shape[1] * height / self.cover.shape[0])), height)
        shrunk = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (self.colour, self.cover)]
        return Cutout(np.asarray(shrunk[0], np.float32), np.asarray(shrunk[1], np.float32))


def packaged(package: str, inner: str) -> Image.Image:
    """A picture that a wheel carries, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; see media/README.md.")
    return Image.open(Path(spec.origin).parent / inner).convert("RGB")


def photo_of(person: str) -> NDArray[np.uint8]:
    """(H, WIDTH, 3) uint8 RGB: a person of openpeople, from head to foot, outdoors."""
    whole = packaged("openpeople", f"data/curated/{person}/assets/amateur_posture.jpg")
    size = (WIDTH, round(whole.height * WIDTH / whole.width))
    return np.asarray(whole.resize(size, Image.Resampling.LANCZOS))


def outline(photo: NDArray[np.uint8], matte: SelfieMatte) -> NDArray[np.bool_]:
    """(H, W) bool, True on the person: mattes of the whole and of tiles, made exact by GrabCut."""
    height, width = photo.shape[:2]
    total = _seen(photo, matte, (width - height) // 2, 0, height)
    counts = np.ones_like(total)
    rows, columns = np.nonzero(total > _LEAST)
    top, tall, centre = int(rows.min()), int(np.ptp(rows)), int(np.median(columns))
    side = tall // 2
    for share in np.linspace(0, 1, _TILES):
        tile = _seen(photo, matte, centre - side // 2, round(top + tall * (1.1 * share - 0.06) - side * share), side)
        known = np.isfinite(tile)
        total[known] += 2 * tile[known]
        counts[known] += 2
    sure = total / counts
    labels = np.where(sure > _LEAST, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[cv2.erode((sure > 0.8).astype(np.uint8), np.ones((9, 9))) > 0] = cv2.GC_FGD
    labels[cv2.dilate((sure > 0.15).astype(np.uint8), np.ones((31, 31))) == 0] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(photo, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    _, parts, sizes, _ = cv2.connectedComponentsWithStats(person)
    return np.asarray(parts == 1 + sizes[1:, cv2.CC_STAT_AREA].argmax())


def cutout(photo: NDArray[np.uint8], person: NDArray[np.bool_]) -> Cutout:
    """The person alone, cropped; the rim's colours come from within, so that no old background shines through."""
    inner = cv2.erode(person.astype(np.uint8), np.ones((5, 5)))
    _, nearest = cv2.distanceTransformWithLabels(1 - inner, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    source = np.zeros((nearest.max() + 1, 3), np.float32)
    source[nearest[inner > 0]] = photo[inner > 0]
    colour = np.where(inner[..., None] > 0, photo, source[nearest]).astype(np.float32)
    cover = cv2.GaussianBlur(cv2.erode(person.astype(np.float32), np.ones((3, 3))), (0, 0), 1.0)
    rows, columns = np.nonzero(person)
    crop = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return Cutout(colour[crop], np.asarray(cover[crop], np.float32))


def without(photo: NDArray[np.uint8], person: NDArray[np.bool_], shifts: tuple[int, ...]) -> NDArray[np.float32]:
    """(H, W, 3) float32: the place without the person; where he stood, what lies `shifts` pixels to the right is seen.

    The first shift that does not lead to the person again counts; all edges are soft.
    """
    grown = cv2.dilate(person.astype(np.uint8), np.ones((25, 25)))
    total = np.zeros(photo.shape, np.float32)
    left = np.ones(photo.shape[:2], np.float32)
    for shift in (0, *shifts):
        clear = cv2.distanceTransform(np.roll(1 - grown, -shift, axis=1), cv2.DIST_L2, 5)
        share = np.clip(clear / 24, 0, 1) * left
        total += share[..., None] * np.roll(photo, -shift, axis=1)
        left -= share
    return np.asarray(total / np.maximum(1 - left, 1e-3)[..., None], np.float32)


def _seen(photo: NDArray[np.uint8], matte: SelfieMatte, left: int, top: int, side: int) -> NDArray[np.float32]:
    """(H, W) float32 matte of one square of the photo, NaN elsewhere."""
    height, width = photo.shape[:2]
    wide = cv2.copyMakeBorder(photo, side, side, side, side, cv2.BORDER_REPLICATE)
    square = np.ascontiguousarray(wide[top + side : top + 2 * side, left + side : left + 2 * side])
    found = matte.soft(np.asarray(square, np.uint8))
    seen = np.full((height, width), np.nan, np.float32)
    y0, y1, x0, x1 = max(top, 0), min(top + side, height), max(left, 0), min(left + side, width)
    seen[y0:y1, x0:x1] = found[y0 - top : y1 - top, x0 - left : x1 - left]
    return seen
