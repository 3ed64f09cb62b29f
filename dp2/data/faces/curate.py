"""Which of many new people are kept: sharp, even, nobody's portrait, no two alike, all kinds of people evenly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.faces.mesh import FaceModel, Floats
from dp2.faces.pose import Pose, no_expression
from dp2.faces.render import rendered
from dp2.faces.texture import pyramid

Picture = NDArray[np.uint8]
SIDE = 160  # pixels, of the picture that is judged
_SCALE = 38.0  # pixels a model unit in it
_LANDMARKS = ((33, 133), (362, 263), (1,), (61,), (291,))
_FINE = 1.5  # texels: finer is detail


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Measures of one texture.

    Attributes:
        sharpness: standard deviation of what is finer than 1.5 texels, in 8-bit steps.
        lopsided: mean difference of its halves, coarsely, in 8-bit steps.
        tone: (3,) float32 Lab of the skin, OpenCV's 8-bit.
    """

    sharpness: float
    lopsided: float
    tone: Floats


def judged(texture: Picture) -> Judged:
    """Measures of a (S, S, 3) uint8 RGB texture."""
    side = len(texture)
    inner = texture[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4]
    grey = cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), _FINE)
    small = cv2.resize(texture, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    lopsided = np.abs(small - small[:, ::-1])[4:-4, 4:-4].mean()
    return Judged(float(fine.std()), float(lopsided), skin_tone(texture))


def skin_tone(texture: Picture) -> Floats:
    """(3,) Lab of nose and cheeks."""
    side = len(texture)
    part = texture[int(0.45 * side) : int(0.62 * side), int(0.25 * side) : int(0.75 * side)]
    return np.asarray(np.median(cv2.cvtColor(part, cv2.COLOR_RGB2LAB).reshape(-1, 3), 0), np.float32)


def shown(texture: Picture, shape: Floats, model: FaceModel) -> tuple[Picture, Floats]:
    """A face at rest from the front, before grey, with its five landmarks: what a recognition network is shown."""
    middle = np.array([SIDE / 2, SIDE / 2, 0], np.float32)
    pose = Pose(np.eye(3, dtype=np.float32), _SCALE, middle, no_expression(model))
    points = pose.place(model.points(shape, pose.expression))
    drawn = rendered(pyramid(texture), points, model, (SIDE, SIDE))
    picture = np.where(drawn.mask[..., None], drawn.image, 128).astype(np.uint8)
    landmarks = np.array([points[list(spots), :2].mean(0) for spots in _LANDMARKS], np.float32)
    return picture, landmarks


def chosen(
    embeddings: Floats, portraits: Floats, cells: NDArray[np.int64], *, count: int, like_portrait: float, like: float
) -> NDArray[np.int64]:
    """Which candidates are kept: cell by cell in turn, so that all are equally full as far as there are enough.

    Args:
        embeddings: (N, C) of candidates, of length 1.
        portraits: (M, C) of the portraits.
        cells: (N,) to which kind of people each belongs.
        count: how many are wanted.
        like_portrait, like: largest similarity to any portrait, and to any other that is kept.

    Returns:
        (at most count,) numbers of candidates.
    """
    free = (embeddings @ portraits.T).max(1) <= like_portrait
    closest = np.full(len(embeddings), -1.0)
    kept: list[int] = []
    waiting = {int(cell): list(np.flatnonzero(free & (cells == cell))[::-1]) for cell in np.unique(cells)}
    while len(kept) < count and any(waiting.values()):
        for queue in waiting.values():
            while queue and len(kept) < count:
                number = int(queue.pop())
                if closest[number] <= like:
                    kept.append(number)
                    closest = np.maximum(closest, embeddings @ embeddings[number])
                    break
    return np.array(kept, np.int64)
