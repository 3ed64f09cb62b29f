"""Where a head is and how its face moves: all that a new face takes over from an old one's geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dp2.faces.mesh import EXPRESSIONS, RIGID, FaceModel, Floats, measures

_STEPS = np.array([0.04, 0.06, 0.015, 0.015, 0.04], np.float32)  # of quantised expressions, in model units


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A similarity from model coordinates to the picture, and expressions.

    Attributes:
        rotation: (3, 3) float32.
        scale: pixels a model unit.
        shift: (3,) float32 in pixels; of z only differences matter.
        expression: (E,) float32, see `dp2.faces.mesh.measures`.
    """

    rotation: Floats
    scale: float
    shift: Floats
    expression: Floats

    def place(self, points: Floats) -> Floats:
        """(468, 3) model coordinates to pixels."""
        placed: Floats = (self.scale * points @ self.rotation.T + self.shift).astype(np.float32)
        return placed

    def quantised(self) -> Pose:
        """The same with expressions on a coarse grid: finer ones could tell people apart."""
        return Pose(self.rotation, self.scale, self.shift, (np.round(self.expression / _STEPS) * _STEPS))

    @property
    def yaw(self) -> float:
        """Turn of the head in degrees; positive = its nose points to the right of the picture."""
        return float(np.degrees(np.arctan2(-self.rotation[0, 2], self.rotation[2, 2])))


def rigid(
    source: NDArray[np.floating], target: NDArray[np.floating]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The similarity that brings (N, 3) points nearest to others: scale, rotation, shift with
    target ≈ scale · source · rotationᵀ + shift.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (PAMI 1991).
    """
    a, b = source.mean(0), target.mean(0)
    left, right = source - a, target - b
    u, singular, vt = np.linalg.svd(right.T @ left)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u * flip @ vt
    scale = float((singular * flip).sum() / max(float((left**2).sum()), 1e-12))
    return scale, rotation, b - scale * rotation @ a


def fit_pose(points: Floats, model: FaceModel, rounds: int = 3) -> tuple[Pose, Floats]:
    """Pose and shape of a whole mesh.

    Args:
        points: (468, 3) in pixels.
        model: of faces.
        rounds: of alternating pose and shape.

    Returns:
        the pose, and (K,) coefficients of the shape.
    """
    rows = list(RIGID)
    shape = np.zeros(len(model.shapes), np.float32)
    expression = model.usual
    basis = model.shapes.reshape(len(shape), -1)
    gram = basis @ basis.T + 0.02 * np.trace(basis @ basis.T) / len(shape) * np.eye(len(shape))
    for _ in range(rounds):
        own = model.points(shape, expression)
        scale, rotation, shift = rigid(own[rows].astype(np.float64), points[rows].astype(np.float64))
        back = ((points - shift) @ rotation / scale).astype(np.float32)
        expression = measures(back)
        residual = model.neutral(back) - model.mean
        shape = np.linalg.solve(gram, basis @ residual.ravel()).astype(np.float32)
    pose = Pose(rotation.astype(np.float32), scale, shift.astype(np.float32), expression)
    return pose, shape


def no_expression(model: FaceModel) -> Floats:
    """(E,): a face at rest: lips closed, eyes open."""
    still = model.usual.copy()
    still[EXPRESSIONS.index("jaw")] = 0
    return still
