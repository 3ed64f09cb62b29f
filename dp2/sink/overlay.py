"""Detections drawn over a frame: boxes, ids, scores, masks, keypoints, body surfaces, and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.types import FACE, PERSON, PERSON_SURFACE, PLATE, VEHICLE, Detections, Image, Origin

Color = tuple[int, int, int]

_KIND_COLORS: dict[str, Color] = {
    FACE: (255, 214, 10),
    PERSON: (64, 200, 255),
    PERSON_SURFACE: (190, 120, 255),
    VEHICLE: (255, 140, 60),
    PLATE: (120, 230, 120),
}
_OTHER_COLOR: Color = (255, 120, 180)
_DARK: Color = (20, 20, 20)
_TINT = 0.45  # of the colour in masks and surfaces
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Pairs of COCO's 17 keypoints: nose 0, eyes 1 2, ears 3 4, shoulders 5 6, elbows 7 8, wrists 9 10, hips 11 12,
# knees 13 14, ankles 15 16.
_SKELETON = (
    *((0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10)),
    *((5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
)
_CONTRAST = 2.5  # of the colours of surfaces


def draw(
    image: Image,
    detections: Sequence[Detections],
    *,
    shapes: bool = True,
    scores: bool = False,
    ids: bool = False,
    legend: Mapping[str, str] | None = None,
) -> Image:
    """A copy of a frame with detections drawn over it.

    Args:
        image: (H, W, 3) uint8 RGB.
        detections: one a kind. Boxes that only the tracker put there are dashed.
        shapes: boxes, masks, keypoints and surfaces.
        scores: the score above each box.
        ids: the number of the track above each box.
        legend: names and values for the upper left corner.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = np.ascontiguousarray(image).copy()
    pen = _Pen.for_frame(canvas)
    if shapes:
        for found in detections:  # areas first, so that no line or text is tinted
            _tint_areas(canvas, found)
        for found in detections:
            _outline(canvas, found, pen)
    for found in detections:
        _label(canvas, found, pen, scores, ids)
    if legend:
        _draw_legend(canvas, legend, pen)
    return canvas


@dataclass(frozen=True, slots=True)
class _Pen:
    """Widths and sizes that can be seen at the frame's size."""

    line: int
    font: float

    @classmethod
    def for_frame(cls, canvas: Image) -> _Pen:
        side = min(canvas.shape[:2])
        return cls(line=max(round(side / 360), 1), font=max(side / 1100, 0.35))

    @property
    def stroke(self) -> int:
        return max(round(self.font * 1.8), 1)

    def measure(self, text: str) -> tuple[int, int, int]:
        """Width, height above and depth below the baseline."""
        (width, height), depth = cv2.getTextSize(text, _FONT, self.font, self.stroke)
        return width, height, depth


def _color(found: Detections) -> Color:
    return _KIND_COLORS.get(found.kind, _OTHER_COLOR)


def _tint_areas(canvas: Image, found: Detections) -> None:
    height, width = canvas.shape[:2]
    if found.masks is not None and found.masks.shape[1:] == (height, width):
        for mask in found.masks:
            _tint(canvas, mask, np.array(_color(found), np.float32))
    if found.surface is None or found.surface_boxes is None:
        return
    for box, surface in zip(found.surface_boxes, found.surface, strict=True):
        (x0, y0), (x1, y1) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if right <= left or bottom <= top:
            continue
        rows = (np.arange(top, bottom) - y0) * surface.shape[1] // (y1 - y0)
        columns = (np.arange(left, right) - x0) * surface.shape[2] // (x1 - x0)
        cells = np.ix_(rows, columns)
        body = (surface[-1] > 0)[cells]
        _tint(canvas[top:bottom, left:right], body, _surface_colors(surface[:-1])[cells][body])


def _tint(pixels: Image, where: NDArray[np.bool_], color: NDArray[np.float32]) -> None:
    pixels[where] = np.rint((1 - _TINT) * pixels[where] + _TINT * color)


def _surface_colors(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """(E, S, S) to (S, S, 3) RGB: three fixed directions of the embedding (the first waves of a cosine transform)."""
    places = (np.arange(len(embedding)) + 0.5) / len(embedding)
    directions = np.cos(np.pi * places * np.arange(1, 4)[:, None]) * np.sqrt(2 / len(embedding))  # [3, E]
    length = np.maximum(np.linalg.norm(embedding, axis=0), 1e-6)
    colors: NDArray[np.float32] = 127.5 + 127.5 * np.tanh(
        _CONTRAST * np.einsum("ke,eyx->yxk", directions, embedding / length)
    )
    return colors.astype(np.float32)


def _outline(canvas: Image, found: Detections, pen: _Pen) -> None:
    for box, origin in zip(found.boxes, found.origins, strict=True):
        x0, y0, x1, y1 = _inside(canvas, box, pen.line)
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
        for start, stop in pairwise(corners):
            _line(canvas, start, stop, _color(found), pen, dashed=origin == Origin.FILLED)
    if found.keypoints is not None:
        for points in found.keypoints:
            _draw_keypoints(canvas, points, _color(found), pen)


def _inside(canvas: Image, box: NDArray[np.float32], margin: int) -> tuple[int, int, int, int]:
    """Whole pixels; what lies far outside comes just outside, where OpenCV's integers suffice."""
    height, width = canvas.shape[:2]
    limit = (width + margin, height + margin)
    x0, y0 = (round(float(np.clip(v, -margin, m))) for v, m in zip(box[:2], limit, strict=True))
    x1, y1 = (round(float(np.clip(v, -margin, m))) for v, m in zip(box[2:] - 1, limit, strict=True))
    return x0, y0, max(x0, x1), max(y0, y1)


def _line(
    canvas: Image, start: tuple[int, int], stop: tuple[int, int], color: Color, pen: _Pen, *, dashed: bool
) -> None:
    if not dashed:
        cv2.line(canvas, start, stop, color, pen.line, cv2.LINE_AA)
        return
    first, last = np.array(start, float), np.array(stop, float)
    dashes = max(int(np.hypot(*(last - first)) / (6 * pen.line)), 1)
    for k in range(0, dashes, 2):
        a, b = (first + (last - first) * (min(k + i, dashes) / dashes) for i in (0, 1))
        cv2.line(
            canvas, tuple(np.rint(a).astype(int).tolist()), tuple(np.rint(b).astype(int).tolist()), color, pen.line
        )


def _draw_keypoints(canvas: Image, points: NDArray[np.float32], color: Color, pen: _Pen) -> None:
    height, width = canvas.shape[:2]
    reach = 4 * max(height, width)
    seen = (points[:, 2] > 0) & (np.abs(points[:, :2]) < reach).all(axis=1)
    places = [tuple(place) for place in np.rint(points[:, :2].clip(-reach, reach)).astype(int).tolist()]
    if len(points) == 17:
        bones = [(places[a], places[b]) for a, b in _SKELETON if seen[a] and seen[b]]
        for width, shade in ((pen.line + 2, _DARK), (pen.line, color)):  # a dark rim: the mask beneath has the colour
            for start, stop in bones:
                cv2.line(canvas, start, stop, shade, width, cv2.LINE_AA)
    for place, visible in zip(places, seen, strict=True):
        if visible:
            cv2.circle(canvas, place, pen.line + 1, _DARK, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(canvas, place, pen.line, color, cv2.FILLED, cv2.LINE_AA)


def _label(canvas: Image, found: Detections, pen: _Pen, scores: bool, ids: bool) -> None:
    for row, box in enumerate(found.boxes):
        words = []
        if ids and found.track_ids is not None and found.track_ids[row] >= 0:
            words.append(f"#{found.track_ids[row]}")
        if scores:
            words.append(f"{found.scores[row]:.2f}")
        if words:
            x, y, *_ = _inside(canvas, box, pen.line)
            _draw_text(canvas, " ".join(words), x, y, _color(found), pen)


def _draw_text(canvas: Image, text: str, x: int, y: int, color: Color, pen: _Pen) -> None:
    """Dark on the colour, standing on the point (x, y), moved into the frame where it would leave it."""
    width, height, depth = pen.measure(text)
    pad = pen.line
    x = max(min(x, canvas.shape[1] - width - 2 * pad), 0)
    bottom = max(min(y, canvas.shape[0]), height + depth + 2 * pad)
    top = bottom - height - depth - 2 * pad
    cv2.rectangle(canvas, (x, top), (x + width + 2 * pad, bottom - 1), color, cv2.FILLED)
    cv2.putText(canvas, text, (x + pad, bottom - pad - depth), _FONT, pen.font, _DARK, pen.stroke, cv2.LINE_AA)


def _draw_legend(canvas: Image, legend: Mapping[str, str], pen: _Pen) -> None:
    lines = [f"{name}: {value}" for name, value in legend.items()]
    sizes = [pen.measure(line) for line in lines]
    pitch = max(height + depth for _, height, depth in sizes) + 2 * pen.line + 2
    pad = 3 * pen.line
    panel = canvas[: pitch * len(lines) + 2 * pad, : max(width for width, *_ in sizes) + 2 * pad]
    panel[:] = panel // 3
    for row, line in enumerate(lines, start=1):
        base = pad + row * pitch - pitch // 3
        cv2.putText(canvas, line, (pad, base), _FONT, pen.font, (255, 255, 255), pen.stroke, cv2.LINE_AA)
