"""A sheet of samples: originals, holes, what several latents make of them, and one latent at several truncations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.data.batch import Dataset
from dp2.data.loader import validation_batches
from dp2.errors import DatasetError
from dp2.metrics.painter import Painter, to_bytes

_HEADER = 16


@dataclass(frozen=True)
class SheetSettings:
    """What a sheet shows.

    Attributes:
        rows: samples, spread evenly over the data.
        latents: how many of each.
        truncations: at which the first latent is shown again.
        seed: of chance in the data.
    """

    rows: int = 6
    latents: int = 4
    truncations: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
    seed: int = 0


def sample_sheet(dataset: Dataset, painter: Painter, settings: SheetSettings) -> NDArray[np.uint8]:
    """Paint a sheet.

    Args:
        dataset: whose samples are shown.
        painter: the generator.
        settings: what is shown.

    Returns:
        (16 + rows·H, columns·W, 3) uint8 RGB: a line of captions, then original, hole, latents, truncations.

    Raises:
        DatasetError: the dataset is empty.
    """
    if len(dataset) == 0:
        raise DatasetError("there is nothing to show: the dataset is empty.")
    batch = next(validation_batches(dataset, batch_size=settings.rows, limit=settings.rows, seed=settings.seed))
    indices = range(len(batch))
    columns = {"original": batch.image, "hole": batch.image * batch.mask}
    for draw in range(settings.latents):
        columns[f"z {draw + 1}"] = painter.draw(batch, indices, draw)
    first = painter.latents(indices, 0)
    for truncation in settings.truncations:
        columns[f"t {truncation:g}"] = to_bytes(painter.paint(batch, painter.styles(first, truncation)))
    pictures = np.stack([column.numpy() for column in columns.values()], axis=1)  # (N, C, 3, H, W)
    count, across, _, height, width = pictures.shape
    grid = pictures.transpose(0, 3, 1, 4, 2).reshape(count * height, across * width, 3)
    return np.concatenate([_captions(list(columns), width), grid])


def _captions(words: list[str], width: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (width * len(words), _HEADER), "white")
    draw = ImageDraw.Draw(strip)
    for place, word in enumerate(words):
        draw.text((place * width + 3, 2), word, fill="black")
    return np.asarray(strip)
