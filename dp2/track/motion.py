"""Where tracks are expected next: a batch of constant-velocity Kalman filters in continuous time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Motion:
    """Means and covariances of M tracks. Centre x, y and size w, h are independent of each other, so each of the
    four has a 2 × 2 covariance of its own and no matrix is ever inverted.

    Attributes:
        place: (M, 4) centre x, y, width, height in pixels.
        speed: (M, 4) their change in pixels a second; the sizes' stay 0.
        covariance: (M, 4, 3): var(place), cov(place, speed), var(speed).
    """

    place: Array
    speed: Array
    covariance: Array

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Motion:
        return Motion(self.place[rows], self.speed[rows], self.covariance[rows])

    def join(self, other: Motion) -> Motion:
        """The tracks of both, in order."""
        return Motion(
            np.concatenate([self.place, other.place]),
            np.concatenate([self.speed, other.speed]),
            np.concatenate([self.covariance, other.covariance]),
        )

    @property
    def boxes(self) -> Array:
        """(M, 4) x0 y0 x1 y1 of the means."""
        half = self.place[:, 2:] / 2
        return np.concatenate([self.place[:, :2] - half, self.place[:, :2] + half], axis=1)


@dataclass(frozen=True, slots=True)
class MotionModel:
    """How things move. Lengths are in object sizes (√(w·h)), so one setting serves near and far.

    Attributes:
        jitter: standard deviation of a detector's box, in sizes.
        start_speed: standard deviation of the speed of a track just begun, in sizes a second.
        agility: white-noise acceleration: how much the speed drifts, in sizes a second per √second.
        size_drift: how much width and height drift, in sizes per √second.
    """

    jitter: float = 0.06
    start_speed: float = 8.0
    agility: float = 6.0
    size_drift: float = 0.5

    def begin(self, boxes: Array) -> Motion:
        """New tracks at (N, 4) boxes x0 y0 x1 y1, at rest for all we know."""
        place = to_place(boxes)
        size = sizes(place)[:, None]
        covariance = np.zeros((len(place), 4, 3))
        covariance[:, :, 0] = (self.jitter * size) ** 2
        covariance[:, :2, 2] = (self.start_speed * size) ** 2
        return Motion(place, np.zeros_like(place), covariance)

    def predict(self, motion: Motion, elapsed: float) -> Motion:
        """The tracks `elapsed` seconds later."""
        size = sizes(motion.place)[:, None]
        var, cov, speed_var = np.moveaxis(motion.covariance, 2, 0)
        acceleration = np.zeros_like(var)
        acceleration[:, :2] = (self.agility * size) ** 2
        drift = np.zeros_like(var)
        drift[:, 2:] = (self.size_drift * size) ** 2
        covariance = np.stack(
            [
                var + 2 * elapsed * cov + elapsed**2 * speed_var + acceleration * elapsed**3 / 3 + drift * elapsed,
                cov + elapsed * speed_var + acceleration * elapsed**2 / 2,
                speed_var + acceleration * elapsed,
            ],
            axis=2,
        )
        return Motion(motion.place + elapsed * motion.speed, motion.speed, covariance)

    def innovation(self, motion: Motion) -> Array:
        """(M, 4) variance of a detection's place around the mean, in square pixels."""
        return motion.covariance[:, :, 0] + (self.jitter * sizes(motion.place)[:, None]) ** 2

    def correct(self, motion: Motion, boxes: Array) -> Motion:
        """The tracks after each has been seen at its row of (M, 4) boxes x0 y0 x1 y1."""
        var, cov, speed_var = np.moveaxis(motion.covariance, 2, 0)
        spread = self.innovation(motion)
        gain, speed_gain = var / spread, cov / spread
        error = to_place(boxes) - motion.place
        return Motion(
            motion.place + gain * error,
            motion.speed + speed_gain * error,
            np.stack([(1 - gain) * var, (1 - gain) * cov, speed_var - speed_gain * cov], axis=2),
        )


def to_place(boxes: Array) -> Array:
    """(N, 4) x0 y0 x1 y1 to centre x, y, width, height; a box of no extent counts as one pixel."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    extent = np.maximum(corners[:, 2:] - corners[:, :2], 1.0)
    return np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, extent], axis=1)


def sizes(place: Array) -> Array:
    """(N,) √(w·h) in pixels."""
    return np.sqrt(place[:, 2] * place[:, 3])
