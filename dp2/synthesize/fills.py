"""What classic redaction puts in the place of a region: blur, mosaic, a colour, a picture, or nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from dp2.errors import UsageError
from dp2.synthesize.cells import Edges, edges, means
from dp2.synthesize.sticker import Sticker, lay_over, load_sticker, smiley
from dp2.types import Box, Image

Fit = Literal["contain", "cover", "stretch"]

_MIN_CELL = 4.0  # pixels: below this a mosaic or blur of a tiny face would hand its pixels on
_MIN_SHARE = 1 / 8  # of the face: a size given in pixels suits some face, but on larger ones people can be recognised
_CELL_VARIANCE = 1 / 12  # of a uniform distribution over a cell of width 1


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """What a fill sees of a region.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, the visible part of the rectangle around the shape; h, w ≥ 1.
        whole: the complete rectangle in coordinates of `pixels`; leaves them where the frame cuts it off.
        size: longer side of the region's box in pixels.
    """

    pixels: Image
    whole: Box
    size: float


class Fill(Protocol):
    """New pixels for a cutout."""

    def fill(self, cutout: Cutout) -> Image | None:
        """(h, w, 3) uint8 RGB of the same size as `cutout.pixels`; None = leave the region as it is."""


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur that cannot be undone: its input is not the face but the rounded means of coarse cells.

    Cells are one sigma wide, so the result is a function of about (size / sigma)² colours and of nothing else:
    deconvolution or a trained attacker (arXiv 1905.05243, 2506.12344) finds no finer residue to amplify.

    Attributes:
        strength: sigma as a fraction of the longer side of the region's box.
        level: sigma in pixels instead, as PeekingDuck's `blur_level` (50 there). It only grows where it would be
            less than an eighth of the longer side: there people could be recognised.

    Raises:
        UsageError: a value is not above 0.
    """

    strength: float = 0.22
    level: float | None = None

    def __post_init__(self) -> None:
        _require_positive("blur", strength=self.strength, level=self.level)

    def fill(self, cutout: Cutout) -> Image:
        wanted = self.strength * cutout.size if self.level is None else max(self.level, _MIN_SHARE * cutout.size)
        sigma = max(wanted, _MIN_CELL)
        rows, columns = _cells_of(cutout, sigma)
        colours = means(cutout.pixels, rows, columns).astype(np.float32)
        kernel = sigma * math.sqrt(1 - _CELL_VARIANCE)  # the mean over a cell is itself a small blur
        height, width = cutout.pixels.shape[:2]
        step = max(int(sigma / 8), 1)  # samples this close leave linear interpolation nothing to get wrong
        down, across = (_gaussian_weights(borders, step, kernel) for borders in (rows, columns))
        smooth = np.rint(_product(down, colours, across)).astype(np.uint8)
        return smooth if step == 1 else cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """Cells of one colour each, the exact mean of the cell's pixels.

    Attributes:
        level: number of rows and of columns a region, as PeekingDuck's `mosaic_level`.
        cell: least side of a cell in pixels instead, as deface's `--mosaicsize`. It only grows where it would be less
            than an eighth of the longer side: there people could be recognised.

    Raises:
        UsageError: a value is not above 0.
    """

    level: int = 7
    cell: int | None = None

    def __post_init__(self) -> None:
        _require_positive("mosaic", level=self.level, cell=self.cell)

    def fill(self, cutout: Cutout) -> Image:
        if self.cell is None:
            rows, columns = _grid(cutout, self.level, self.level)
        else:
            rows, columns = _cells_of(cutout, max(self.cell, _MIN_SHARE * cutout.size))
        colours = means(cutout.pixels, rows, columns)
        return colours.repeat(np.diff(columns), axis=1).repeat(np.diff(rows), axis=0)


@dataclass(frozen=True, kw_only=True)
class Solid:
    """One colour.

    Attributes:
        color: three numbers in 0..255, or a name or hex code as in CSS ("black", "#808080").

    Raises:
        UsageError: no such colour.
    """

    color: str | Sequence[int] = (0, 0, 0)
    _rgb: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            rgb = ImageColor.getrgb(self.color)[:3] if isinstance(self.color, str) else tuple(map(int, self.color))
        except (ValueError, TypeError) as error:
            raise UsageError(f"solid: {self.color!r} is no colour; use a name, #rrggbb or three numbers.") from error
        if len(rgb) != 3 or not all(0 <= value <= 255 for value in rgb):
            raise UsageError(f"solid: {self.color!r} is no colour; use three numbers from 0 to 255.")
        object.__setattr__(self, "_rgb", rgb)

    def fill(self, cutout: Cutout) -> Image:
        height, width = cutout.pixels.shape[:2]
        filled = np.empty((height, width, 3), np.uint8)
        cv2.rectangle(filled, (0, 0), (width, height), self._rgb, cv2.FILLED)
        return filled


@dataclass(frozen=True, kw_only=True)
class ImageFill:
    """A picture laid over the region; where it is transparent or does not reach, `under` fills.

    Attributes:
        path: any picture file; None = a drawn face.
        fit: contain = whole and undistorted, cover = undistorted without a margin, stretch = to the rectangle.
        under: what lies below, so that no pixel of the person shines through.

    Raises:
        UsageError: no such fit.
        UnreadableMedia: the picture cannot be read.
    """

    path: str | os.PathLike[str] | None = None
    fit: Fit = "contain"
    under: Fill = field(default_factory=Blur)
    _sticker: Sticker = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise UsageError(f"picture: there is no fit {self.fit!r}; choose {', '.join(get_args(Fit))}.")
        object.__setattr__(self, "_sticker", smiley() if self.path is None else load_sticker(self.path))

    def fill(self, cutout: Cutout) -> Image | None:
        under = self.under.fill(cutout)
        return under if under is None else lay_over(under, self._sticker, self._place(cutout.whole))

    def _place(self, whole: Box) -> Box:
        x0, y0, x1, y1 = whole
        height, width = self._sticker[0].shape[:2]
        scales = (x1 - x0) / width, (y1 - y0) / height
        if self.fit == "stretch":
            return whole
        scale = min(scales) if self.fit == "contain" else max(scales)
        w, h = max(round(width * scale), 1), max(round(height * scale), 1)
        left, top = (x0 + x1 - w) // 2, (y0 + y1 - h) // 2
        return left, top, left + w, top + h


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Leaves regions as they are (deface's `--replacewith none`); they are counted as kept."""

    def fill(self, cutout: Cutout) -> None:  # noqa: ARG002  (the protocol's)
        return None


def _require_positive(what: str, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{what}: {name}={value} must be above 0.")


def _cells_of(cutout: Cutout, side: float) -> tuple[Edges, Edges]:
    """Borders of the visible rows and columns of cells no smaller than this."""
    x0, y0, x1, y1 = cutout.whole
    return _grid(cutout, int((y1 - y0) / side), int((x1 - x0) / side))


def _grid(cutout: Cutout, rows: int, columns: int) -> tuple[Edges, Edges]:
    """Borders of the visible ones among so many rows and columns; fewer where cells would be too small."""
    x0, y0, x1, y1 = cutout.whole
    height, width = cutout.pixels.shape[:2]
    rows, columns = (min(n, int(side / _MIN_CELL)) for n, side in ((rows, y1 - y0), (columns, x1 - x0)))
    return edges(y0, y1, max(rows, 1), height), edges(x0, x1, max(columns, 1), width)


def _gaussian_weights(borders: Edges, step: int, sigma: float) -> NDArray[np.float32]:
    """(samples, cells) float32: how much each cell counts at samples `step` pixels apart; rows sum to 1."""
    size = int(borders[-1])
    samples = math.ceil(size / step)
    position = (np.arange(samples) + 0.5) * (size / samples)
    centre = (borders[:-1] + borders[1:]) / 2
    weights = np.exp(-((position[:, None] - centre[None, :]) ** 2) / (2 * sigma**2))
    normalised: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def _product(
    down: NDArray[np.float32], colours: NDArray[np.float32], across: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(h, n) weights, (n, m, 3) colours, (w, m) weights to (h, w, 3)."""
    rows, columns, channels = colours.shape
    wide = across @ colours.transpose(1, 0, 2).reshape(columns, rows * channels)
    wide = wide.reshape(-1, rows, channels).transpose(1, 0, 2).reshape(rows, -1)
    return (down @ wide).reshape(len(down), -1, channels)
