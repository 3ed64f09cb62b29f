"""Frames at another width."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from dp2.media.video_info import VideoInfo
from dp2.types import Image


def scale_to_width(info: VideoInfo, width: int) -> VideoInfo:
    """The same stream at about this width; both sides become even, because 4:2:0 video needs that."""
    height = Fraction(info.height * width, info.width)
    return replace(info, width=_even(Fraction(width)), height=_even(height))


def scaled(image: Image, info: VideoInfo) -> Image:
    """(H, W, 3) uint8 RGB at the size that `info` names."""
    height, width = image.shape[:2]
    if (height, width) == (info.height, info.width):
        return image
    smaller = info.width < width
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (info.width, info.height), interpolation=method), np.uint8)


def _even(side: Fraction) -> int:
    return max(2, 2 * round(side / 2))
