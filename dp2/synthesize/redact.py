"""Classic redaction: a shape around each region is filled without looking at who is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from dp2.synthesize.fills import Cutout, Fill
from dp2.synthesize.shapes import Shape, ShapeName, crop, longer_side
from dp2.types import Keep, PaintTask, Patch, Reach, Refusal, Region


@dataclass(frozen=True)
class Redaction:
    """A `Synthesizer` that needs no model, serves every region and is deterministic.

    Every pixel of the shape is replaced, in a narrow band around it old and new mix, nothing else changes.

    Attributes:
        fill: what comes in the place of the region.
        shape: ellipse, box or mask; see `dp2.synthesize.shapes.Shape`.
        mask_scale: size of ellipse or box as a factor of the region's box.
        mask_growth: dilation of masks, as a fraction of the longer side of the box.
        feather: width of the soft band, as a fraction of the longer side of the box.

    Raises:
        UsageError: the shape leaves the centre of a region visible.
    """

    fill: Fill
    shape: ShapeName = "ellipse"
    mask_scale: float = 1.3
    mask_growth: float = 0.02
    feather: float = 0.04
    _shape: Shape = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = Shape(name=self.shape, scale=self.mask_scale, growth=self.mask_growth, feather=self.feather)
        object.__setattr__(self, "_shape", shape)

    def reach(self, region: Region, height: int, width: int) -> Reach:
        footprint = self._shape.footprint(region, height, width)
        return Reach(view=footprint.inner, write=footprint.outer)

    def synthesize(self, tasks: Sequence[PaintTask], seed: int) -> list[Patch | Refusal]:  # noqa: ARG002  (nothing is random)
        return [self._redact(task) for task in tasks]

    def _redact(self, task: PaintTask) -> Patch | Refusal:
        height, width = task.canvas.shape[:2]
        footprint = self._shape.footprint(task.region, height, width)
        x0, y0, x1, y1 = footprint.inner
        if x1 == x0:
            return Patch(0, 0, np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32))
        left, top, right, bottom = footprint.outer
        wx0, wy0, wx1, wy1 = footprint.whole
        cutout = Cutout(
            pixels=crop(task.canvas, footprint.inner),
            whole=(wx0 - x0, wy0 - y0, wx1 - x0, wy1 - y0),
            size=longer_side(task.region),
        )
        pixels = self.fill.fill(cutout)
        if pixels is None:
            return Keep("left as it is on purpose")
        band = (y0 - top, bottom - y1, x0 - left, right - x1)
        framed = cv2.copyMakeBorder(pixels, *band, cv2.BORDER_REPLICATE)
        return Patch(left, top, framed, self._shape.alpha(task.region, footprint))
