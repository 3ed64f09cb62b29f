"""Faces for dp2's own generator: crops of `dp2 dataset build`, turned, lit and photographed anew many times over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dp2.data.batch import Sample
from dp2.data.crop_shards import TRAIN, CropShards, whole_window
from dp2.data.portrait.light import Floats, Picture, photographed
from dp2.data.portrait.scene import before, cut_scene, drawn_scene
from dp2.data.portrait.warp import Spread, draw
from dp2.errors import DatasetError
from dp2.faces.conditions import GROWN, LANDMARKS, MARGIN, blurred_landmarks, oval, tone

_MIRRORED = [1, 0, 2, 4, 3]  # landmarks after left and right are swapped
_EDGE = 0.04  # of the width: so far inside its sides a box is held to the turned head
_CROWD = 0.25  # of the scenes: other people, with their faces
_SHAKE = 0.02  # standard deviation of a box's sides, in widths


class Matte(Protocol):
    """Tells a person from what is behind."""

    def soft(self, image: Picture) -> Floats:
        """(H, W, 3) uint8 RGB to (H, W) float32 in [0, 1], 1 on the person."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Variant:
    """A face as the generator may meet it: (S, S, 3) uint8, (5, 2) landmarks and (4,) box in its pixels."""

    image: NDArray[np.uint8]
    points: NDArray[np.float64]
    box: NDArray[np.float64]


class PortraitFaces:
    """Each crop counts as often as it has variants; a variant is always the same, hole and mirroring are drawn.

    Args:
        folder: what `dp2 dataset build -o` wrote.
        resolution: (height, width) of samples, equal.
        split: "train" or "val".
        variants: of each crop; 0 = the crop as it is, only cut out, and nothing is drawn.
        group_variants: the same for single groups (see `dp2.data.crop_record`): rare faces are to weigh more.
        grown: the hole's sides in those of the face box: least and most.
        matte: makes what tells people from what is behind, so that they are put before other things too; None = they
            stay where they are. Called at the first sample, in each process that loads data.
        elsewhere: share of the variants for which this is done.
        keep: hold made variants in memory.

    Raises:
        DatasetError: there is no such set, or it holds faces without landmarks.
    """

    def __init__(
        self,
        *,
        folder: str | Path,
        resolution: tuple[int, int] = (128, 128),
        split: str = TRAIN,
        variants: int = 6,
        group_variants: Mapping[str, int] | None = None,
        grown: tuple[float, float] = (1.06, 1.3),
        matte: Callable[[], Matte] | None = None,
        elsewhere: float = 0.7,
        keep: bool = True,
    ) -> None:
        if resolution[0] != resolution[1]:
            raise DatasetError(f"portraits are square, not {resolution}.")
        self._crops = CropShards(folder, split)
        self._folder = folder
        self._side = int(resolution[0])
        self._fresh = variants > 0
        self._grown = (grown[0], grown[1])
        groups = dict(group_variants or {})
        self._places = [
            (crop, variant)
            for crop in range(len(self._crops))
            for variant in range(max(1, groups.get(self._crops.record(crop).group, variants)) if variants else 1)
        ]
        self._make_matte, self._elsewhere = matte, elsewhere
        self._covers: dict[int, Picture] = {}
        self._kept: dict[int, _Variant] | None = {} if keep else None

    @property
    def resolution(self) -> tuple[int, int]:
        """As in `Dataset`."""
        return self._side, self._side

    def __len__(self) -> int:
        return len(self._places)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """As in `Dataset`."""
        variant = self._variant(index)
        image, points, box, grown = variant.image, variant.points, variant.box, GROWN
        if self._fresh:
            if rng.random() < 0.5:
                image, points, box = _mirrored(image, points, box)
            box = box + rng.normal(0, _SHAKE, 4) * (box[2] - box[0])
            grown = rng.uniform(*self._grown)
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1),
            mask=torch.from_numpy(~oval(box, self._side, grown))[None],
            keypoints=torch.from_numpy(blurred_landmarks(points / self._side, rng)),
            tone=torch.from_numpy(tone(image, box)),
        )

    def _variant(self, index: int) -> _Variant:
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        crop, number = self._places[index]
        made = self._made(crop, np.random.default_rng((crop, number)))
        if self._kept is not None:
            self._kept[index] = made
        return made

    def _made(self, number: int, rng: np.random.Generator) -> _Variant:
        crop = self._crops.crop(number)
        record = crop.record
        if record.keypoints is None or len(record.keypoints) != LANDMARKS:
            raise DatasetError(f"{self._folder}: a {record.kind} without 5 landmarks; build the set with --faces.")
        image, _ = whole_window(crop)
        corner = np.array([round(side) for side in record.window[:2]], np.float64)
        box = np.array(record.box) - np.tile(corner, 2)
        points = np.array(record.keypoints)[:, :2] - corner
        warp = draw(box, self._side, Spread() if self._fresh else None, rng, margin=MARGIN, mirrored=False)
        if self._fresh and self._make_matte is not None and rng.random() < self._elsewhere:
            moved = warp.picture(np.dstack([image, self._cover(number, image)]), self._side)
            picture = before(moved[..., :3], np.float32(1 / 255) * moved[..., 3].astype(np.float32), self._scene(rng))
        else:
            picture = warp.picture(image, self._side)
        if self._fresh:
            picture = photographed(picture, rng)
        sides = warp.points(_sides(box))
        return _Variant(picture, warp.points(points), np.concatenate([sides.min(0), sides.max(0)]))

    def _cover(self, number: int, image: Picture) -> Picture:
        """(H, W) uint8 of a crop's picture, 255 on the person."""
        if number not in self._covers:
            self._covers[number] = (self._matte.soft(image) * 255 + 0.5).astype(np.uint8)
        return self._covers[number]

    @cached_property
    def _matte(self) -> Matte:
        if self._make_matte is None:
            raise DatasetError(f"{self._folder}: people can be put elsewhere only with a matte.")
        return self._make_matte()

    def _scene(self, rng: np.random.Generator) -> Picture:
        """What a person is put before: mostly something drawn, at times a part of somebody else's portrait."""
        if rng.random() < _CROWD:
            other = self._crops.crop(int(rng.integers(len(self._crops)))).image
            return cut_scene(other, self._side, rng)
        return drawn_scene(self._side, rng)


def _sides(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 2) middles of a box's sides, those beside the face a little inside, where a turned head carries them."""
    middle, edge = (box[:2] + box[2:]) / 2, _EDGE * (box[2] - box[0])
    return np.array([[middle[0], box[1]], [box[2] - edge, middle[1]], [middle[0], box[3]], [box[0] + edge, middle[1]]])


def _mirrored(
    image: NDArray[np.uint8], points: NDArray[np.float64], box: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    side = image.shape[1]
    swapped = points[_MIRRORED] * (-1, 1) + (side, 0)
    return image[:, ::-1], swapped, np.array([side - box[2], box[1], side - box[0], box[3]])
