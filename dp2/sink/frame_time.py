"""Writes a frame's time into its corner, as FFmpeg's drawtext does with pts."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np

from dp2.types import Image

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MARGIN = 10  # pixels


def time_text(time: Fraction) -> str:
    """Hours, minutes, seconds and milliseconds: 01:02:03.004."""
    milliseconds = round(abs(time) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    sign = "-" if time < 0 else ""
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def draw_time(image: Image, time: Fraction) -> Image:
    """A copy of a (H, W, 3) uint8 RGB frame with its time, white on a dark rim, in the lower right corner."""
    canvas = np.ascontiguousarray(image).copy()
    height, width = canvas.shape[:2]
    text, size = time_text(time), max(min(height, width) / 700, 0.35)
    stroke = max(round(2 * size), 1)
    (wide, _), _ = cv2.getTextSize(text, _FONT, size, stroke)
    place = (max(width - wide - _MARGIN, 0), height - _MARGIN)
    for colour, weight in (((0, 0, 0), stroke + 2), ((255, 255, 255), stroke)):
        cv2.putText(canvas, text, place, _FONT, size, colour, weight, cv2.LINE_AA)
    return canvas
