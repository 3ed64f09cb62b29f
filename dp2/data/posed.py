"""What the pose network is trained on: heads drawn in any pose, real portraits with a teacher's pose, and no faces."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dp2.data.batch import Sample
from dp2.data.faces.face_set import FaceSet
from dp2.data.heads import drawn_head, posed, with_glasses
from dp2.data.occluders import drawn_occluder, passing_person
from dp2.data.portrait.light import photographed
from dp2.data.portrait.scene import before, cut_scene, drawn_scene
from dp2.faces.mesh import EXPRESSIONS, FaceModel, Floats, read_model
from dp2.faces.pose import Pose
from dp2.faces.render import rendered
from dp2.faces.texture import pyramid

Picture = NDArray[np.uint8]
SIDE = 96  # of crops, as of `dp2.models.face_pose`
EXPRESSION_STEP = 0.1  # model units that one unit of a label's expression stands for
_SPAN = (3.9, 7.2)  # sides of the crop, in model units
_REAL, _DRAWN = 0.4, 0.48  # shares of samples; the rest shows no face
_SMALL = 0.35  # share of crops that are enlarged from few pixels
_LEAST = 13  # pixels, of those


class PosedFaces:
    """Endless crops; a sample's index chooses the portrait that lends its texture or its picture.

    Args:
        folder: of the prepared set, see `dp2.data.faces.face_set`.
        split: "train" or "val".

    Raises:
        DatasetError: there is no such set.
    """

    def __init__(self, *, folder: str | Path, split: str = "train") -> None:
        self._set = FaceSet(folder)
        self._numbers = self._set.split(split)

    @property
    def resolution(self) -> tuple[int, int]:
        """As in `Dataset`."""
        return SIDE, SIDE

    @property
    def weights(self) -> NDArray[np.float64]:
        """As in `Weighted`: the varied portraits come more often."""
        weights: NDArray[np.float64] = np.where(self._set.large[self._numbers], 8.0, 1.0)
        return weights

    def __len__(self) -> int:
        return len(self._numbers)

    @cached_property
    def _model(self) -> FaceModel:
        return read_model()

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """As in `Dataset`: `mask` is where the face is seen, `pose` as `packed`; without a face nothing is seen."""
        cv2.setNumThreads(1)
        number, kind = int(self._numbers[index]), rng.random()
        if kind < _REAL:
            image, pose, seen = self._real(number, rng)
        elif kind < _REAL + _DRAWN:
            image, pose, seen = self._head(number, rng)
        else:
            image, pose, seen = self._nothing(rng), None, np.zeros((SIDE, SIDE), np.float32)
        if pose is not None and rng.random() < 0.35:
            image, hidden = self._hidden(image, pose, rng)
            seen = seen * (1 - hidden)
        image = _small(photographed(image, rng), rng)
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            mask=torch.from_numpy(seen > 0.5)[None],
            pose=torch.from_numpy(packed(pose, self._model)),
        )

    def _real(self, number: int, rng: np.random.Generator) -> tuple[Picture, Pose, Floats]:
        """A portrait turned in the plane, before something else."""
        portrait = self._set.portrait(number)
        pose = portrait.pose
        scale = SIDE / (rng.uniform(*_SPAN) * pose.scale)
        angle = rng.normal(0, 0.25)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = SIDE / 2 - turn @ pose.shift[:2] + rng.normal(0, 0.05, 2) * SIDE
        matrix = np.concatenate([turn, shift[:, None]], 1)
        image, matte = portrait.image, portrait.matte
        if scale < 0.7:
            image = cv2.resize(image, None, fx=scale * 1.3, fy=scale * 1.3, interpolation=cv2.INTER_AREA)
            shrunk = matrix @ np.diag([1 / (scale * 1.3)] * 2 + [1.0])
        else:
            shrunk = matrix
        flags, border = cv2.INTER_LINEAR, cv2.BORDER_REFLECT
        image = np.asarray(cv2.warpAffine(image, shrunk, (SIDE, SIDE), flags=flags, borderMode=border), np.uint8)
        fine = len(portrait.image) / len(matte)
        cover = cv2.warpAffine(matte, matrix @ np.diag([fine, fine, 1.0]), (SIDE, SIDE)) / np.float32(255)
        points = portrait.points.copy()
        points[:, :2] = points[:, :2] @ turn.T + shift
        share = pyramid(np.repeat(portrait.share[..., None], 3, 2))
        seen = rendered(share, points, self._model, (SIDE, SIDE)).image[..., 0] / np.float32(255)
        rotation = np.eye(3, dtype=np.float32)
        rotation[:2, :2] = turn / scale
        moved = Pose(
            rotation @ pose.rotation, pose.scale * scale, np.array([*(turn @ pose.shift[:2] + shift), 0], np.float32),
            pose.expression,
        )  # fmt: skip
        if rng.random() < 0.7:
            image = before(image, cover, self._scene(rng))
        if rng.random() < 0.5:
            image, seen = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(seen[:, ::-1])
            moved = mirrored(moved)
        return image, moved, seen

    def _head(self, number: int, rng: np.random.Generator) -> tuple[Picture, Pose, Floats]:
        """A drawn head in any pose."""
        model = self._model
        texture = self._set.texture(number)
        if rng.random() < 0.25:
            texture = with_glasses(texture, model, rng)
        skin = np.median(texture[len(texture) // 2 - 20 : len(texture) // 2 + 40].reshape(-1, 3), 0)
        shape = self._set.shapes[int(rng.choice(self._numbers))] * rng.uniform(0.7, 1.2)
        pose = _drawn_pose(model, rng)
        light = rng.normal(0, 1, 3) * (1, 0.7, 0.7)
        light *= rng.uniform(0, 0.9) / max(float(np.linalg.norm(light)), 1e-6)
        face = model.points(shape.astype(np.float32), pose.expression)
        place = (pose.rotation, pose.scale, pose.shift)
        scene = posed(face, pyramid(texture), drawn_head(skin, rng), place, model, SIDE, light)
        image = _over(self._scene(rng), scene.image, scene.cover, rng)
        return image, pose, scene.face.astype(np.float32)

    def _nothing(self, rng: np.random.Generator) -> Picture:
        """The back of a head, or no head at all."""
        scene = self._scene(rng) if rng.random() < 0.7 else drawn_scene(SIDE, rng)
        if rng.random() < 0.5:
            return scene
        skin = rng.uniform(40, 230) * np.array([1, 0.8, 0.68])
        pose = _drawn_pose(self._model, rng, behind=True)
        place = (pose.rotation, pose.scale, pose.shift)
        back = posed(self._model.mean, None, drawn_head(skin, rng), place, self._model, SIDE, np.zeros(3, np.float32))
        return _over(scene, back.image, back.cover, rng)

    def _hidden(self, image: Picture, pose: Pose, rng: np.random.Generator) -> tuple[Picture, Floats]:
        middle, width = pose.shift[:2], 2.6 * pose.scale
        if rng.random() < 0.3:
            other = self._set.portrait(int(rng.choice(self._numbers)))
            size = (SIDE, SIDE)
            matte = cv2.resize(other.matte, size, interpolation=cv2.INTER_AREA) / np.float32(255)
            small = np.asarray(cv2.resize(other.image, size, interpolation=cv2.INTER_AREA), np.uint8)
            occluder = passing_person(small, matte, middle, width, rng)
        else:
            occluder = drawn_occluder(SIDE, middle, width, rng)
        return occluder.over(image), occluder.cover

    def _scene(self, rng: np.random.Generator) -> Picture:
        if rng.random() < 0.35:
            other = self._set.portrait(int(rng.choice(self._numbers))).image
            # Above the shoulders there is no face: half of the time only what is beside the head
            part = other[: len(other) // 4] if rng.random() < 0.7 else other[-len(other) // 4 :]
            return cut_scene(part, SIDE, rng)
        return drawn_scene(SIDE, rng)


def packed(pose: Pose | None, model: FaceModel) -> Floats:
    """(15,) float32 label: two rows of the rotation, logarithm of the scale and shift in sides of the crop, expression
    less its usual values in tenths of a model unit, and 1 for a face; zeros without one."""
    if pose is None:
        return np.zeros(6 + 1 + 2 + len(EXPRESSIONS) + 1, np.float32)
    scale = np.log(pose.scale / SIDE)
    shift = pose.shift[:2] / SIDE - 0.5
    expression = (pose.expression - model.usual) / EXPRESSION_STEP
    return np.concatenate([pose.rotation[:2].ravel(), [scale], shift, expression, [1]]).astype(np.float32)


def mirrored(pose: Pose) -> Pose:
    """As seen in a mirror, for crops of `SIDE` pixels."""
    flip = np.array([-1, 1, 1], np.float32)
    shift = np.array([SIDE - 1 - pose.shift[0], pose.shift[1], pose.shift[2]], np.float32)
    jaw, mouth, left, right, brows = pose.expression
    swapped = np.array([jaw, mouth, right, left, brows], np.float32)
    return Pose(pose.rotation * flip[:, None] * flip, pose.scale, shift, swapped)


def rotation_of(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3) from angles in radians: yaw first, roll last."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y, np.float32)


def _drawn_pose(model: FaceModel, rng: np.random.Generator, behind: bool = False) -> Pose:
    yaw = rng.uniform(-1.7, 1.7) if rng.random() < 0.6 else rng.normal(0, 0.5)
    if behind:
        yaw = np.pi + rng.uniform(-1.0, 1.0)
    rotation = rotation_of(yaw, float(np.clip(rng.normal(0, 0.28), -0.8, 0.8)), rng.normal(0, 0.25))
    scale = SIDE / rng.uniform(*_SPAN)
    # A detector's box is about what is seen of the face, not about the middle of its mesh
    points = scale * model.mean @ rotation.T
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    shift = SIDE / 2 - (low + high) / 2 + rng.normal(0, 0.05, 2) * SIDE
    expression = model.usual + rng.normal(0, (0.08, 0.1, 0.025, 0.025, 0.06))
    jaw = rng.random()
    expression[0] = 0.02 if jaw < 0.3 else rng.uniform(0, 0.6) if jaw < 0.65 else expression[0]
    if rng.random() < 0.15:
        expression[2:4] = rng.uniform(0, 0.12)
    elif rng.random() < 0.05:
        expression[int(rng.integers(2, 4))] = rng.uniform(0, 0.1)
    expression[:4] = np.maximum(expression[:4], 0)
    return Pose(rotation, scale, np.array([*shift, 0], np.float32), expression.astype(np.float32))


def _over(scene: Picture, image: Floats, cover: NDArray[np.bool_], rng: np.random.Generator) -> Picture:
    sigma = rng.uniform(0.3, 1.0)
    soft = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), sigma)[..., None]
    carried = cv2.GaussianBlur(image, (0, 0), sigma) / np.maximum(soft, 0.02)  # nothing dark from beyond the edge
    image = np.where(cover[..., None], image, carried)
    return np.asarray(np.clip(scene * (1 - soft) + image * soft + 0.5, 0, 255), np.uint8)


def _small(image: Picture, rng: np.random.Generator) -> Picture:
    """Now and then as if cut from a face of few pixels."""
    if rng.random() >= _SMALL:
        return image
    side = int(np.exp(rng.uniform(np.log(_LEAST), np.log(SIDE))))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
