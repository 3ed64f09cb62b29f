"""A picture of many identities, drawn at rest from the front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.faces.curate import shown
from dp2.errors import OutputError
from dp2.faces.bank import People
from dp2.faces.mesh import FaceModel

_COLUMNS = 40


def write_sheet(
    textures: Sequence[NDArray[np.uint8]], people: People, model: FaceModel, path: Path, side: int = 96
) -> None:
    """All of them, `side` pixels each.

    Raises:
        OutputError: the file cannot be written.
    """
    tiles = [
        cv2.resize(shown(texture, shape, model)[0], (side, side), interpolation=cv2.INTER_AREA)
        for texture, shape in zip(textures, people.shapes, strict=True)
    ]
    rows = -(-len(tiles) // _COLUMNS)
    sheet = np.zeros((rows * side, _COLUMNS * side, 3), np.uint8)
    for number, tile in enumerate(tiles):
        y, x = divmod(number, _COLUMNS)
        sheet[y * side : (y + 1) * side, x * side : (x + 1) * side] = tile
    if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise OutputError(f"{path}: the sheet cannot be written.")
