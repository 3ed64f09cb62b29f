"""Sheets of samples: a row a picture: the original, what the generator sees, and what several latents make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dp2.data.batch import Batch, Dataset
from dp2.data.loader import validation_batches
from dp2.sink.atomic import atomic_path
from dp2.training.chance import seeded_generator
from dp2.training.checkpoints.state import State
from dp2.training.distributed import Group
from dp2.training.objectives.conditions import Painter
from dp2.training.objectives.objective import Paints

SHEETS = "sheets"  # in the folder of a run
SHEET_NAMES = "images-*.png"


class Sheets:
    """The same samples and latents all through a run, so that sheets can be compared.

    Args:
        folder: they are written here.
        data: whose samples are shown, spread evenly over it.
        rows: how many.
        latents: of each.
        seed: of samples and latents.
    """

    def __init__(self, folder: Path, data: Dataset, *, rows: int, latents: int, seed: int) -> None:
        self._folder = folder
        self._data = data
        self._rows = rows
        self._latents = latents
        self._seed = seed
        self._batch: Batch | None = None

    def write(self, state: State, group: Group) -> Path:
        """The averaged generator's, as the objective paints, else as `Painter` does."""
        objective = state.objective
        paint = objective.paint if isinstance(objective, Paints) else Painter()
        if self._batch is None:
            self._batch = next(validation_batches(self._data, batch_size=self._rows, limit=self._rows, seed=self._seed))
        batch = self._batch.to(group.device)
        columns = [batch.real, batch.real * batch.keep + (1 - batch.keep)]
        with torch.inference_mode():
            for number in range(self._latents):
                chance = seeded_generator(group.device, self._seed, "sheet", number)
                columns.append(paint(state.average.network, batch, chance).float())
        path = self._folder / f"images-{state.images:09d}.png"
        with atomic_path(path, overwrite=True) as temporary:
            Image.fromarray(tiled(columns)).save(temporary)
        return path


def tiled(columns: list[Tensor]) -> NDArray[np.uint8]:
    """Columns of (N, 3, H, W) in [-1, 1] side by side, one sample below the other: (N·H, columns·W, 3) uint8."""
    stack = torch.stack(columns, dim=1)  # (N, C, 3, H, W)
    count, width, _, h, w = stack.shape
    grid = stack.permute(0, 3, 1, 4, 2).reshape(count * h, width * w, 3)
    pixels: NDArray[np.uint8] = ((grid.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()
    return pixels
