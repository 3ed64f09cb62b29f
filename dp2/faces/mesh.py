"""The face model: 468 points in the order of MediaPipe's face mesh, how faces differ and how they move.

Model coordinates: the head looks along −z, x to the right of the picture, y down, as in images; the mean distance of
the points from their mean is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dp2.errors import CheckpointMismatch, UnreadableCheckpoint

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]

POINTS = 468
EXPRESSIONS = ("jaw", "mouth", "left_eye", "right_eye", "brows")  # left and right as seen in the picture
RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 10, 151, 9, 8, 234, 454, 127, 356, 162, 389)  # hardly moves
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
FILE = Path(__file__).with_name("files") / "face_model.safetensors"
_GAPS = {"jaw": (13, 14), "mouth": (61, 291), "left_eye": (159, 145), "right_eye": (386, 374)}
_BROWS = ((105, 33), (334, 263))


@dataclass(frozen=True, slots=True, eq=False)
class FaceModel:
    """A linear model of faces.

    Attributes:
        mean: (468, 3) float32.
        uv: (468, 2) float32 in [0, 1]: places on the texture.
        triangles: (T, 3) int32, counter-clockwise as seen from the front in the picture; eyes and mouth are closed by
            triangles too.
        mirror: (468,) int32: the same point on the other half.
        shapes: (K, 468, 3) float32: principal components times their standard deviations, largest first.
        expressions: (E, 468, 3) float32: displacement for a change by 1 of each measure of `measures`.
        usual: (E,) float32: the measures of the mean.

    Raises:
        CheckpointMismatch: arrays do not fit each other.
    """

    mean: Floats
    uv: Floats
    triangles: Indices
    mirror: Indices
    shapes: Floats
    expressions: Floats
    usual: Floats

    def __post_init__(self) -> None:
        count = len(EXPRESSIONS)
        wanted = {
            "mean": (POINTS, 3),
            "uv": (POINTS, 2),
            "triangles": (len(self.triangles), 3),
            "mirror": (POINTS,),
            "shapes": (len(self.shapes), POINTS, 3),
            "expressions": (count, POINTS, 3),
            "usual": (count,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise CheckpointMismatch(f"face model: {name} is {getattr(self, name).shape}, not {shape}.")
        if self.triangles.size and not 0 <= self.triangles.min() <= self.triangles.max() < POINTS:
            raise CheckpointMismatch("face model: a triangle has a corner that is none of the points.")

    def points(self, shape: Floats, expression: Floats) -> Floats:
        """(468, 3) of a face.

        Args:
            shape: (k,) coefficients, k at most K; standard normal over people.
            expression: (E,) measures (see `measures`), as absolute values.
        """
        own = np.tensordot(shape, self.shapes[: len(shape)], 1)
        moved = np.tensordot(expression - self.usual, self.expressions, 1)
        result: Floats = (self.mean + own + moved).astype(np.float32)
        return result

    def neutral(self, points: Floats) -> Floats:
        """(468, 3) in model coordinates, with the measures brought to their usual values."""
        moved = np.tensordot(measures(points) - self.usual, self.expressions, 1)
        return np.asarray(points - moved, np.float32)


def measures(points: Floats) -> Floats:
    """How far mouth and eyes are open and brows are raised.

    Args:
        points: (..., 468, 3) in model coordinates.

    Returns:
        (..., 5) float32 in the order of `EXPRESSIONS`: gap of the lips, width of the mouth, gaps of the lids, height of
        the brows over the outer corners of the eyes.
    """
    gaps = [np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1) for a, b in _GAPS.values()]
    brows = [points[..., eye, 1] - points[..., brow, 1] for brow, eye in _BROWS]
    return np.stack([*gaps, (brows[0] + brows[1]) / 2], -1).astype(np.float32)


def read_model(path: str | Path = FILE) -> FaceModel:
    """The face model of a file; of dp2's own by default.

    Raises:
        UnreadableCheckpoint: there is none, or it is damaged.
        CheckpointMismatch: it holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise UnreadableCheckpoint(f"{path}: no face model can be read from it ({error}); reinstall dp2.") from error
    names = {"mean", "uv", "triangles", "mirror", "shapes", "expressions", "usual"}
    if arrays.keys() != names:
        raise CheckpointMismatch(f"{path}: holds {', '.join(sorted(arrays))}, which is no face model.")
    floats = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    return FaceModel(
        mean=floats["mean"],
        uv=floats["uv"],
        triangles=floats["triangles"].astype(np.int32),
        mirror=floats["mirror"].astype(np.int32),
        shapes=floats["shapes"],
        expressions=floats["expressions"],
        usual=floats["usual"],
    )
