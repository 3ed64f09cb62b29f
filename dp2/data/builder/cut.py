"""From a picture and what was found in it to crops, each kept or dropped for a reason."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.builder.quality import fingerprint, sharpness
from dp2.data.builder.settings import BuildSettings
from dp2.data.builder.sources import SourceFile
from dp2.data.crop_record import CropRecord
from dp2.types import FACE, Box, Image, Region

LOW_SCORE, TOO_SMALL, CUT_OFF, BLURRED = "low score", "too small", "cut off", "blurred"
DUPLICATE = "near-duplicate"
REASONS = (LOW_SCORE, TOO_SMALL, CUT_OFF, BLURRED, DUPLICATE)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A crop that may become a sample.

    Attributes:
        record: see `CropRecord`.
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, or None for faces.
        fingerprint: of the face or body, see `dp2.data.builder.quality`.
        reason: why it is dropped; None = it is kept.
    """

    record: CropRecord
    image: Image
    mask: NDArray[np.bool_] | None
    fingerprint: str
    reason: str | None


def cut(image: Image, region: Region, source: SourceFile, time: float | None, settings: BuildSettings) -> Candidate:
    """Cut one face or body out of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        region: what was found.
        source: the file.
        time: of the frame in a video, in seconds.
        settings: how.
    """
    window = _window(region.box, image, settings)
    pixels = window.resampled(image)
    x0, y0, x1, y1 = (float(side) for side in window.placed(region.box.reshape(2, 2)).reshape(4))
    sharp = sharpness(_part(pixels, (x0, y0, x1, y1)))
    record = CropRecord(
        kind=region.kind,
        group=source.group,
        source=source.name if settings.names else source.hashed,
        time=time,
        width=window.width,
        height=window.height,
        window=window.reach,
        box=(x0, y0, x1, y1),
        keypoints=_keypoints(region, window),
        score=region.score,
        scale=float(window.scale.mean()),
        sharpness=sharp,
    )
    mask = None
    if settings.kind != FACE and region.mask is not None:
        mask = window.resampled(region.mask.astype(np.uint8) * 255) > 127
    return Candidate(record, pixels, mask, fingerprint(pixels, record.box), _reason(region, sharp, image, settings))


@dataclass(frozen=True, slots=True)
class _Window:
    """A crop: which part of the photo it shows, and how large that is stored.

    Attributes:
        inside: the part of the photo that is stored, not empty.
        width, height: of the stored picture.
        reach: the crop as it is meant, which may leave the photo, in pixels of the stored picture.
    """

    inside: Box
    width: int
    height: int
    reach: Box

    @property
    def scale(self) -> NDArray[np.float64]:
        """(2,) stored pixels per pixel of the photo, in x and y; equal but for the rounding of sides."""
        x0, y0, x1, y1 = self.inside
        return np.array([self.width / (x1 - x0), self.height / (y1 - y0)])

    def placed(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        """(K, 2) of the photo as (K, 2) of the stored picture."""
        places: NDArray[np.float64] = (points - np.array(self.inside[:2])) * self.scale
        return places

    def resampled(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(height, width[, 3]): what is stored of a picture of the photo's size."""
        x0, y0, x1, y1 = self.inside
        part = image[y0:y1, x0:x1]
        if part.shape[:2] == (self.height, self.width):
            return part
        small: NDArray[np.uint8] = cv2.resize(part, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return small


def _window(box: NDArray[np.float32], image: Image, settings: BuildSettings) -> _Window:
    height, width = image.shape[:2]
    box_width, box_height = float(box[2] - box[0]), float(box[3] - box[1])
    tall = max(2, round(settings.context * max(box_height, box_width / settings.aspect)))
    wide = max(2, round(tall * settings.aspect))
    x, y = round(float(box[0] + box[2] - wide) / 2), round(float(box[1] + box[3] - tall) / 2)
    # A box has some area within the photo, yet perhaps less than a pixel of it.
    x0, y0 = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    x1, y1 = min(max(x + wide, x0 + 1), width), min(max(y + tall, y0 + 1), height)
    scale = min(1.0, settings.size / max(tall, wide))
    left, top = round((x0 - x) * scale), round((y0 - y) * scale)
    right, bottom = max(left + 1, round(wide * scale)), max(top + 1, round(tall * scale))
    return _Window(
        inside=(x0, y0, x1, y1),
        width=max(1, min(round((x1 - x0) * scale), right - left)),
        height=max(1, min(round((y1 - y0) * scale), bottom - top)),
        reach=(-left, -top, right - left, bottom - top),
    )


def _keypoints(region: Region, window: _Window) -> tuple[tuple[float, float, float], ...] | None:
    if region.keypoints is None:
        return None
    places = window.placed(region.keypoints[:, :2])
    confidences = region.keypoints[:, 2]
    return tuple((float(x), float(y), float(c)) for (x, y), c in zip(places, confidences, strict=True))


def _part(image: Image, box: tuple[float, float, float, float]) -> Image:
    """The box's pixels; of a box beside the picture the nearest ones."""
    height, width = image.shape[:2]
    x0, y0 = min(max(0, round(box[0])), width - 1), min(max(0, round(box[1])), height - 1)
    return image[y0 : max(y0 + 1, round(box[3])), x0 : max(x0 + 1, round(box[2]))]


def _reason(region: Region, sharp: float, image: Image, settings: BuildSettings) -> str | None:
    x0, y0, x1, y1 = (float(side) for side in region.box)
    height, width = image.shape[:2]
    shown = max(0.0, min(x1, width) - max(x0, 0.0)) * max(0.0, min(y1, height) - max(y0, 0.0))
    if region.score < settings.min_score:
        return LOW_SCORE
    if max(x1 - x0, y1 - y0) < settings.min_size:
        return TOO_SMALL
    if shown < (1 - settings.max_cut) * region.area:
        return CUT_OFF
    if sharp < settings.min_sharpness:
        return BLURRED
    return None
