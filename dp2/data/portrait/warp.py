"""Turning, tilting and moving a portrait: one picture of a head becomes many."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RADIUS = 0.62  # of the head as a cylinder, in widths of the face box
_REACH = 2.4  # radii from the axis at which a turned head no longer pulls at its surroundings
_SUPERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class Spread:
    """How much portraits vary: standard deviations.

    Attributes:
        yaw: turn of the head, in degrees; the largest is `most_yaw`.
        share_turned: of the pictures.
        roll: in degrees, at most 30.
        scale, aspect: as logarithms.
        shift: in sides of the face box.
        shear, corners: in halves of the crop.
    """

    yaw: float = 15.0
    most_yaw: float = 38.0
    share_turned: float = 0.6
    roll: float = 9.0
    scale: float = 0.07
    aspect: float = 0.06
    shift: float = 0.035
    shear: float = 0.06
    corners: float = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """A drawn change of a portrait.

    Attributes:
        matrix: (3, 3) perspective from the (turned) portrait to the crop.
        axis: x of the head's axis in the portrait, in pixels.
        middle: y of its middle.
        radius, height: of the head, in pixels.
        yaw: turn in radians, positive to the right of the picture.
    """

    matrix: Floats
    axis: float
    middle: float
    radius: float
    height: float
    yaw: float

    def points(self, points: Floats) -> Floats:
        """(N, 2) of the portrait to (N, 2) of the crop."""
        turned = np.stack([points[:, 0] + self._moved(points[:, 0], points[:, 1], self.yaw), points[:, 1]], 1)
        moved: Floats = cv2.perspectiveTransform(turned[None], self.matrix)[0]
        return moved

    def picture(self, portrait: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """(H, W, 3) of the portrait to (size, size, 3)."""
        side = size * _SUPERSAMPLING
        fine = np.diag([_SUPERSAMPLING, _SUPERSAMPLING, 1.0]) @ self.matrix
        inverse = np.linalg.inv(fine)
        grid = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), -1).reshape(1, -1, 2)
        source = cv2.perspectiveTransform(grid, inverse)[0]  # [S², 2]
        x = source[:, 0] + self._moved(source[:, 0], source[:, 1], -self.yaw)
        maps = np.stack([x, source[:, 1]], -1).reshape(side, side, 2).astype(np.float32) - 0.5
        sampled = cv2.remap(portrait, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        crop: NDArray[np.uint8] = cv2.resize(sampled, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return crop

    def _moved(self, x: Floats, y: Floats, yaw: float) -> Floats:
        """How far the turn moves a pixel to the side: points of a cylinder, fading out beside and above the head."""
        across = (x - self.axis) / self.radius
        inside = np.clip(across, -1, 1)
        angle = np.clip(np.arcsin(inside) + yaw, -np.pi / 2, np.pi / 2)
        move = np.sin(angle) - inside
        beside = np.clip((_REACH - np.abs(across)) / (_REACH - 1), 0, 1)
        above = np.clip(2 - np.abs(y - self.middle) / self.height, 0, 1)
        return move * beside * above * self.radius


def draw(
    box: Floats,
    size: int,
    spread: Spread | None,
    rng: np.random.Generator,
    *,
    margin: float = 1.4,
    mirrored: bool = False,
) -> Warp:
    """A warp from a portrait to a crop around its face.

    Args:
        box: (4,) of the face in the portrait, in pixels.
        size: side of the crop.
        spread: how much chance changes; None = only cut out.
        rng: of chance.
        margin: side of the crop in longer sides of the box.
        mirrored: turn left to right; the caller swaps left and right landmarks.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
    half = max(width, height) * margin / 2
    yaw, target = 0.0, centre.copy()
    if spread is not None:
        if rng.random() < spread.share_turned:
            yaw = np.deg2rad(np.clip(rng.normal(0, spread.yaw), -spread.most_yaw, spread.most_yaw))
        half *= np.exp(rng.normal(0, spread.scale))
        target += rng.normal(0, spread.shift, 2) * (width, height)
        corners = corners * (np.exp(rng.normal(0, spread.aspect)), 1)
        corners[:, 0] += corners[:, 1] * rng.normal(0, spread.shear)
        corners += rng.normal(0, spread.corners, (4, 2))
        roll = np.deg2rad(np.clip(rng.normal(0, spread.roll), -30, 30))
        turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        corners = corners @ turn.T
    source = (corners * half + target).astype(np.float32)
    goal = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    if mirrored:
        goal[:, 0] = size - goal[:, 0]
    matrix = cv2.getPerspectiveTransform(source, goal)
    return Warp(matrix, float(centre[0]), float(centre[1]), _RADIUS * width, height * 0.75, float(yaw))
