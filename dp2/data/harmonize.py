"""What the harmonizer is trained on: portraits with a hole where the face was, and a face drawn for it.

Half of the time it is that face itself, in other light and cut smaller, and must be put back; else somebody else's, for
which there is no truth but the look of other pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dp2.data.batch import Sample
from dp2.data.faces.face_set import FaceSet, Portrait
from dp2.data.occluders import Occluder, drawn_occluder, passing_person
from dp2.data.portrait.light import photographed
from dp2.data.portrait.scene import before, cut_scene, drawn_scene
from dp2.errors import DatasetError
from dp2.faces.hole import coarse_colour, grown, moved_to, smoothed
from dp2.faces.mesh import OVAL, FaceModel, Floats, read_model
from dp2.faces.render import rendered
from dp2.faces.texture import pyramid

Picture = NDArray[np.uint8]
_ELSEWHERE = 0.65  # share of portraits put before something else
_CROWD = 0.3  # of these: before somebody else's portrait
_HIDDEN = 0.4  # share of faces with something in front
_LEFT = 0.3  # of a face must be seen beside what is in front
_LARGE = 8.0  # how much more often portraits with fine detail come
_JITTER = 0.35  # standard deviations of shape by which a face's own rendering is wrong


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A portrait cut out: picture, mesh in its pixels, matte, which pixels show skin of the face."""

    image: Picture
    points: Floats
    matte: Floats
    matrix: Floats
    mirrored: bool


class HarmonizerFaces:
    """A sample a portrait; every draw is another one.

    Args:
        folder: of the prepared set, see `dp2.data.faces.face_set`.
        resolution: (height, width), equal, multiples of 32.
        split: "train" or "val".
        foreign: share of samples with somebody else's rendering.

    Raises:
        DatasetError: there is no such set, or the resolution is not square.
    """

    def __init__(
        self,
        *,
        folder: str | Path,
        resolution: tuple[int, int] = (128, 128),
        split: str = "train",
        foreign: float = 0.5,
    ) -> None:
        if resolution[0] != resolution[1] or resolution[0] % 32:
            raise DatasetError(f"faces are harmonized in squares of a multiple of 32 pixels, not {resolution}.")
        self._set = FaceSet(folder)
        self._numbers = self._set.split(split)
        self._side = int(resolution[0])
        self._foreign = foreign

    @property
    def resolution(self) -> tuple[int, int]:
        """As in `Dataset`."""
        return self._side, self._side

    @property
    def weights(self) -> NDArray[np.float64]:
        """As in `Weighted`: portraits with fine detail come more often."""
        weights: NDArray[np.float64] = np.where(self._set.large[self._numbers], _LARGE, 1.0)
        return weights

    def __len__(self) -> int:
        return len(self._numbers)

    @cached_property
    def _model(self) -> FaceModel:
        return read_model()

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """As in `Dataset`."""
        cv2.setNumThreads(1)
        number = int(self._numbers[index])
        portrait = self._set.portrait(number)
        view = self._cut(portrait, rng)
        skin = self._skin(view, portrait)
        picture, hidden = self._staged(view, skin, rng)
        picture = photographed(picture, rng)
        skin = skin * (1 - hidden)
        width = float(np.ptp(view.points[:, 0]))
        hole = self._hole(skin, hidden, view, width, rng)
        foreign = bool(rng.random() < self._foreign)
        image, drawn = self._drawn(view, portrait, number, foreign, rng)
        drawn &= hole
        if not drawn.any():
            drawn = hole.copy()
        colour = coarse_colour(picture, skin > 0.5)
        rendering = moved_to(image, drawn, colour)
        chw = (2, 0, 1)
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(picture.transpose(chw))),
            mask=torch.from_numpy(~hole)[None],
            tone=torch.from_numpy(colour / 127.5 - 1),
            rendering=torch.from_numpy(np.ascontiguousarray(rendering.transpose(chw))),
            drawn=torch.from_numpy(drawn)[None],
            foreign=torch.tensor(foreign),
        )

    def _cut(self, portrait: Portrait, rng: np.random.Generator) -> _View:
        """Turned, sized, sheared, maybe mirrored."""
        side, oval = self._side, portrait.points[list(OVAL), :2]
        low, high = oval.min(0), oval.max(0)
        scale = side / (float((high - low).max()) * rng.uniform(1.45, 2.2))
        angle, stretch = rng.normal(0, 0.15), np.exp(rng.normal(0, 0.05, 2))
        c, s = np.cos(angle) * scale, np.sin(angle) * scale
        turn = np.array([[c, -s + rng.normal(0, 0.04) * scale], [s, c]]) * stretch
        mirrored = bool(rng.random() < 0.5)
        if mirrored:
            turn[:, 0] *= -1
        shift = side / 2 - turn @ ((low + high) / 2) + rng.normal(0, 0.04, 2) * side
        matrix = np.concatenate([turn, shift[:, None]], 1).astype(np.float32)
        image = _resampled(portrait.image, matrix, scale, side)
        points = np.concatenate([portrait.points[:, :2] @ turn.T + shift, portrait.points[:, 2:] * scale], 1)
        if mirrored:
            points = points[self._model.mirror]
        fine = len(portrait.image) / len(portrait.matte)
        matte = cv2.warpAffine(portrait.matte, matrix @ np.diag([fine, fine, 1.0]), (side, side)) / np.float32(255)
        return _View(image, points.astype(np.float32), matte, matrix, mirrored)

    def _staged(self, view: _View, skin: Floats, rng: np.random.Generator) -> tuple[Picture, Floats]:
        """Before another background, behind other things; and what those hide, (S, S) in [0, 1]."""
        picture = view.image
        if rng.random() < _ELSEWHERE:
            crowd = rng.random() < _CROWD
            scene = cut_scene(self._another(rng).image, self._side, rng) if crowd else drawn_scene(self._side, rng)
            picture = before(picture, view.matte, scene)
        hidden = np.zeros(picture.shape[:2], np.float32)
        if rng.random() >= _HIDDEN:
            return picture, hidden
        occluder = self._occluder(view, rng)
        if (skin * (1 - occluder.cover)).sum() < _LEFT * skin.sum():
            return picture, hidden
        return occluder.over(picture), occluder.cover

    def _occluder(self, view: _View, rng: np.random.Generator) -> Occluder:
        middle, width = view.points[:, :2].mean(0), float(np.ptp(view.points[:, 0]))
        if rng.random() < 0.3:
            other = self._cut(self._another(rng), rng)
            return passing_person(other.image, other.matte, middle, width, rng)
        return drawn_occluder(self._side, middle, width, rng)

    def _another(self, rng: np.random.Generator) -> Portrait:
        return self._set.portrait(int(rng.choice(self._numbers)))

    def _skin(self, view: _View, portrait: Portrait) -> Floats:
        """(S, S) in [0, 1]: where skin of the face is seen."""
        share = portrait.share[:, ::-1] if view.mirrored else portrait.share
        texture = pyramid(np.repeat(np.ascontiguousarray(share)[..., None], 3, 2))
        shown = rendered(texture, view.points, self._model, (self._side, self._side))
        return shown.image[..., 0] / np.float32(255)

    def _hole(
        self, skin: Floats, hidden: Floats, view: _View, width: float, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """What must go: the skin that is seen, grown; now and then the whole oval."""
        side = self._side
        if rng.random() < 0.3:
            whole = np.zeros((side, side), np.uint8)
            hull = cv2.convexHull(np.ascontiguousarray(view.points[:, :2]))
            cv2.fillConvexPoly(whole, np.round(hull * 16).astype(np.int32), 1, cv2.LINE_8, 4)
            seen = whole.astype(bool) & (hidden < 0.5)
        else:
            seen = smoothed(skin, width) > 0.5
        hole = grown(seen, width * rng.uniform(0.03, 0.16))
        blocked = cv2.erode((hidden > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=int(rng.integers(3)))
        hole &= blocked == 0
        return hole if hole.any() else seen

    def _drawn(
        self, view: _View, portrait: Portrait, number: int, foreign: bool, rng: np.random.Generator
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """The rendering, in light and sharpness of its own, and where it is."""
        model, side = self._model, self._side
        other = int(rng.choice(self._numbers, p=self.weights / self.weights.sum())) if foreign else number
        texture = self._set.texture(other)
        enough = 3 * side // 2  # finer texels would only cost time
        if enough < len(texture):
            texture = np.asarray(cv2.resize(texture, (enough, enough), interpolation=cv2.INTER_AREA), np.uint8)
        shape = self._set.shapes[other] * (1 if foreign else rng.normal(1, 0.05))
        shape = shape + (0 if foreign else rng.normal(0, _JITTER, len(shape)) * (np.arange(len(shape)) < 12))
        if foreign or rng.random() < 0.5:
            points = _placed(model, shape.astype(np.float32), portrait, view)
        else:
            points = view.points
        if view.mirrored:
            texture = np.ascontiguousarray(texture[:, ::-1])
        shown = rendered(pyramid(_relit(texture, rng)), points, model, (side, side))
        image = shown.image
        if not foreign:
            image = _changed(image, shown.mask, rng)
        width = float(np.ptp(points[:, 0]))
        drawn = shown.mask.astype(np.uint8)
        if not foreign and rng.random() < 0.8:
            drawn &= _smaller(drawn, points, rng)
        reach = max(1, round(width * rng.uniform(0.012, 0.05)))
        drawn = cv2.erode(drawn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
        return image, drawn.astype(bool)


def _placed(model: FaceModel, shape: Floats, portrait: Portrait, view: _View) -> Floats:
    """(468, 3) of another shape in the portrait's pose, in the view's pixels."""
    points = portrait.pose.place(model.points(shape, portrait.pose.expression))
    turn = view.matrix[:, :2]
    flat = points[:, :2] @ turn.T + view.matrix[:, 2]
    deep = points[:, 2:] * np.sqrt(abs(float(np.linalg.det(turn))))
    placed = np.concatenate([flat, deep], 1).astype(np.float32)
    return placed[model.mirror] if view.mirrored else placed


def _resampled(image: Picture, matrix: Floats, scale: float, side: int) -> Picture:
    if scale < 0.7:
        image = cv2.resize(image, None, fx=scale * 1.3, fy=scale * 1.3, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([1 / (scale * 1.3)] * 2 + [1.0])
    return np.asarray(
        cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def _relit(texture: Picture, rng: np.random.Generator) -> Floats:
    """Uneven light and contrast that are not the picture's."""
    side = len(texture)
    light = cv2.resize(rng.uniform(-1, 1, (3, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    lit: Floats = texture * (1 + rng.uniform(0, 0.35) * light)[..., None]
    return np.clip(lit, 0, 255).astype(np.float32)


def _changed(image: Floats, mask: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Another exposure, tint, contrast and sharpness."""
    mean = image[mask].mean(0) if mask.any() else np.float32(128)
    changed = (image - mean) * rng.uniform(0.75, 1.3) + mean * rng.uniform(0.7, 1.3) * rng.uniform(0.85, 1.15, 3)
    side = len(image)
    if rng.random() < 0.2:
        small = max(16, int(side * rng.uniform(0.4, 1)))
        changed = cv2.resize(cv2.resize(changed, (small, small), interpolation=cv2.INTER_AREA), (side, side))
    return np.clip(changed, 0, 255).astype(np.float32)


def _smaller(drawn: NDArray[np.uint8], points: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The mask shrunk about its middle: without this the ring around a smaller face stays a blurred halo."""
    middle, side = points[list(OVAL), :2].mean(0), len(drawn)
    kx, ky = rng.uniform(0.74, 1.0, 2)
    sx, sy = middle * (1 - np.array([kx, ky])) + rng.normal(0, 0.012 * side, 2)
    return np.asarray(cv2.warpAffine(drawn, np.array([[kx, 0, sx], [0, ky, sy]]), (side, side)), np.uint8)
