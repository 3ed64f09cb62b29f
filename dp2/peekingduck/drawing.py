"""What the drawing nodes of a pipeline draw over results."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np

from dp2.peekingduck.nodes import Legend
from dp2.peekingduck.plan import Plan
from dp2.result import Result
from dp2.sink.overlay import draw
from dp2.types import Detections, Image

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAD = 8  # pixels


@dataclass
class Drawing:
    """A `dp2.batch.files.View`: boxes, labels and the legend, as the plan asks for them."""

    plan: Plan
    _times: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        averaged = self.plan.fps is not None and self.plan.fps.dampen_fps
        self._times = deque(maxlen=11 if averaged else 2)

    def __call__(self, result: Result) -> Image:
        self._times.append(time.perf_counter())
        image = result.image
        if self.plan.boxes is not None or self.plan.redaction is None:
            image = draw(image, [found.with_(keypoints=None) for found in result.detections])
        if self.plan.boxes is not None and self.plan.boxes.show_labels:
            for found in result.detections:
                _label(image, found)
        if self.plan.legend is not None and len(self._times) > 1:
            image = draw_legend(image, [f"fps: {self._rate():.2f}"], self.plan.legend)
        return image

    def _rate(self) -> float:
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)


def draw_legend(image: Image, lines: list[str], legend: Legend) -> Image:
    """A copy of a (H, W, 3) uint8 RGB frame with lines of text on a shade, in a corner on the left."""
    canvas = np.ascontiguousarray(image).copy()
    height = canvas.shape[0]
    size, thickness = legend.font.size, legend.font.thickness
    sizes = [cv2.getTextSize(line, _FONT, size, thickness) for line in lines]
    pitch = max(text[1] + depth for text, depth in sizes) + _PAD
    wide, tall = max(text[0] for text, _ in sizes) + 2 * _PAD, pitch * len(lines) + _PAD
    top = 0 if legend.position == "top" else max(height - tall, 0)
    panel = canvas[top : top + tall, :wide]
    panel[:] = np.rint(panel * (1 - legend.box_opacity))
    for row, (line, (text, _)) in enumerate(zip(lines, sizes, strict=True)):
        place = (_PAD, top + _PAD + row * pitch + text[1])
        cv2.putText(canvas, line, place, _FONT, size, (255, 255, 255), thickness, cv2.LINE_AA)
    return canvas


def _label(canvas: Image, found: Detections) -> None:
    for x0, y0 in found.boxes[:, :2]:
        place = (max(int(x0), 0), max(int(y0) - 4, 12))
        cv2.putText(canvas, found.kind, place, _FONT, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
