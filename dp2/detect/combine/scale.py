"""The resolution policy: at which size a network sees a frame, in which passes, in which tiles. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dp2.errors import UsageError
from dp2.types import Box

Scale = Literal["auto"] | float | str | tuple[int, int]

AUTO_PIXELS = 2560 * 1440  # about 0.5 GB of activations in a MobileNet-sized network
_WXH = re.compile(r"(\d+)\s*[x×X]\s*(\d+)")


def parse_scale(scale: Scale) -> Literal["auto"] | float | tuple[int, int]:
    """A scale as users write it: "auto", a factor (0.5 or "0.5"), or a size ("640x360" or (640, 360)).

    Raises:
        UsageError: it is none of these, or not positive.
    """
    if scale == "auto":
        return "auto"
    if isinstance(scale, str):
        size = _WXH.fullmatch(scale.strip())
        if size:
            return parse_scale((int(size[1]), int(size[2])))
        try:
            return parse_scale(float(scale))
        except ValueError:
            raise _bad(scale) from None
    if isinstance(scale, Sequence):  # a configuration file gives a list
        if len(scale) != 2 or not all(float(side) >= 1 for side in scale):
            raise _bad(scale)
        return int(scale[0]), int(scale[1])
    if not 0 < float(scale) < float("inf"):
        raise _bad(scale)
    return float(scale)


def _bad(scale: object) -> UsageError:
    return UsageError(f"scale {scale!r} is neither auto, a positive factor (0.5) nor a size (640x360)")


def network_size(scale: Literal["auto"] | float | tuple[int, int], size: tuple[int, int], step: int) -> tuple[int, int]:
    """The (width, height) at which a network sees a frame.

    "auto" is the frame's own size, or `AUTO_PIXELS` for frames larger than that. The result is rounded up to whole
    steps, at least one; the frame is stretched to it, so its aspect may change by less than a step.

    Args:
        scale: from `parse_scale`.
        size: (width, height) of the frame.
        step: what sides must be a multiple of: the largest stride of the network.
    """
    if isinstance(scale, tuple):
        wanted: tuple[float, float] = scale
    else:
        pixels = size[0] * size[1]
        factor = min(1.0, (AUTO_PIXELS / pixels) ** 0.5) if scale == "auto" else scale
        wanted = (size[0] * factor, size[1] * factor)
    return _round_up(wanted[0], step), _round_up(wanted[1], step)


def _round_up(length: float, step: int) -> int:
    # A factor such as 0.1 is not exact in binary: 320.00000000000006 is 320
    return max(1, -int(-(length - 1e-6) // step)) * step


def pyramid(size: tuple[int, int], shortest: int = 320) -> tuple[float, ...]:
    """Factors 1, 1/2, 1/4, … of the passes, as long as the frame's longer side stays at least `shortest` pixels."""
    factors = [1.0]
    while max(size) * factors[-1] / 2 >= shortest:
        factors.append(factors[-1] / 2)
    return tuple(factors)


@dataclass(frozen=True, slots=True)
class Tiling:
    """How frames larger than a tile are cut.

    Attributes:
        tile: longest side of a tile in pixels.
        overlap: what neighbours share at least, in pixels: anything up to this size lies whole in some tile.

    Raises:
        UsageError: the overlap is not smaller than the tile.
    """

    tile: int = 1536
    overlap: int = 192

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.tile:
            raise UsageError(f"tile overlap {self.overlap} must be at least 0 and smaller than the tile, {self.tile}")


def tiles(size: tuple[int, int], tiling: Tiling) -> list[Box]:
    """Tiles of equal size that cover a frame of `size` = (width, height), row by row."""
    columns, rows = (_spans(length, tiling) for length in size)
    return [(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns]


def _spans(length: int, tiling: Tiling) -> list[tuple[int, int]]:
    if length <= tiling.tile:
        return [(0, length)]
    count = -(-(length - tiling.overlap) // (tiling.tile - tiling.overlap))
    # The smallest tiles of one size that keep the overlap, spread evenly
    side = -(-(length + (count - 1) * tiling.overlap) // count)
    return [(start, start + side) for start in (i * (length - side) // (count - 1) for i in range(count))]
