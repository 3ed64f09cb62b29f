"""One person, one new face: an identity of the bank, drawn in the old face's pose and harmonized with its surroundings.

Of the pixels that are removed nothing is used but the pose, coarse expressions, which part of the face is seen, and one
coarse colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.faces.bank import Bank
from dp2.faces.choosing import Choice, chosen
from dp2.faces.crop_box import square
from dp2.faces.finding import FaceFinder, FoundFace, PoseFinder, cut_square
from dp2.faces.graphs import harmonizer_onnx
from dp2.faces.hole import coarse_colour, grown, moved_to, smoothed
from dp2.faces.mesh import FaceModel, Floats, read_model
from dp2.faces.pose import Pose
from dp2.faces.render import rasterized, rendered
from dp2.geometry.bodies import clipped
from dp2.inference.engine import load_engine
from dp2.inference.network import Engine, Network
from dp2.synthesize.blend import natural
from dp2.synthesize.crops import Crop
from dp2.synthesize.latents import LatentIndex, hashed_index
from dp2.types import Image, PaintTask, Patch, Reach, Refusal, Region
from dp2.weights.readers import load_arrays
from dp2.weights.store import Store
from dp2.weights.tables import CheckpointArrays, network_table

Mask = NDArray[np.bool_]
_REACH = 2.6  # side of what is looked at, in longer sides of the face box
_SIDES = (128, 256)  # pixels, of the harmonizer's crops
_ROOM = 1.6  # side of the crop in that of hole and drawing
_LARGE = 190  # pixels of the picture: crops from here on are harmonized at 256
_UNSURE = 0.3  # of the pose network: from here on a pixel of the mesh counts as seen
_BEYOND = 0.6  # the same beside the mesh: a face broader than any
_MARGIN = 0.07  # of the face's width: by which the hole reaches beyond what is seen of the face
_RIM = 0.06  # of the same: so much of the drawing's edge is left to the harmonizer
_LEAST = 0.12  # of the mesh must be seen, or there is nothing to draw


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A square of the picture as the harmonizer sees it: corner in the picture, its pixels a pixel, side in pixels."""

    left: int
    top: int
    scale: float
    side: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        span = round(self.side / self.scale)
        return self.left, self.top, self.left + span, self.top + span

    def points(self, points: Floats) -> Floats:
        """(P, 3) of the picture to (P, 3) of the square; centres of pixels lie at whole numbers in both."""
        moved = points * np.float32(self.scale)
        corner = (np.array([self.left, self.top]) - 0.5) * self.scale + 0.5
        moved[:, :2] -= corner
        return moved.astype(np.float32)


class NewFaces:
    """A synthesizer of faces that stay the same person in every pose.

    Args:
        choice: who people may become.
        finder: tells how a face lies; None = dp2's pose network.
        bank: file of identities; None = dp2's own.
        harmonizer: weights, name in the registry or a file.
        expression: keep how far mouth and eyes are open; else faces are at rest.
        smallest, largest: longer sides of face boxes in pixels that are served.
        surest: least probability, by the pose network, that there is a face.
        latent_index: from (seed, identity) to the index that identities are drawn from.
        engine: one of `dp2.inference.engine.ENGINES`.

    Raises:
        UsageError: a value is out of its range.
        WeightsError: weights or bank are missing or damaged.
    """

    def __init__(
        self,
        *,
        choice: Choice | None = None,
        finder: FaceFinder | None = None,
        bank: str | None = None,
        harmonizer: str = "dp2/harmonizer",
        expression: bool = True,
        smallest: int = 8,
        largest: int = 4096,
        surest: float = 0.5,
        latent_index: LatentIndex = hashed_index,
        engine: str = "auto",
    ) -> None:
        if not 0 < smallest <= largest or not 0 <= surest <= 1:
            raise UsageError("faces are served from `smallest` to `largest` pixels; surest lies in [0, 1].")
        self._choice = choice or Choice()
        self._model: FaceModel = read_model()
        self._finder: FaceFinder = finder or PoseFinder(model=self._model, engine=engine)
        self._bank = Bank(bank)
        self._weights = Store().path(harmonizer)
        self._expression, self._engine = expression, engine
        self._smallest, self._largest, self._surest = smallest, largest, surest
        self._latent_index = latent_index
        self._engines: dict[int, Engine] = {}

    def reach(self, region: Region, height: int, width: int) -> Reach:
        """See `dp2.stages.Synthesizer`."""
        inside = clipped(self._looked_at(region), height, width)
        left, top, right, bottom = inside
        box = (left, top, max(left, right), max(top, bottom))
        return Reach(box, box)

    def synthesize(self, tasks: Sequence[PaintTask], seed: int) -> list[Patch | Refusal]:
        """See `dp2.stages.Synthesizer`."""
        return [self._made(task, self._latent_index(seed, task.region.identity)) for task in tasks]

    def _looked_at(self, region: Region) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = (round(float(side)) for side in region.box)
        return square((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), _REACH - 1)

    def _made(self, task: PaintTask, index: int) -> Patch | Refusal:
        box = task.region.box
        longest = float((box[2:] - box[:2]).max())
        if not self._smallest <= longest <= self._largest:
            return Refusal(f"a face of {round(longest)} pixels")
        reach = self.reach(task.region, *task.canvas.shape[:2]).write
        if reach[2] - reach[0] < 2 or reach[3] - reach[1] < 2:
            return Refusal("a region outside the frame")
        found = self._finder(task.canvas, box)
        if found.sure < self._surest:
            return Refusal("no face is seen")
        pose = found.pose.quantised()
        place = self._place(pose, reach)
        if place is None:
            return Refusal("a face that lies elsewhere")
        return self._painted(task.canvas, found, pose, place, index)

    def _place(self, pose: Pose, reach: tuple[int, int, int, int]) -> _Place | None:
        """Around the mean face in its pose; None where that is not about where the detector saw a face."""
        points = pose.place(self._model.points(np.zeros(0, np.float32), pose.expression))[:, :2]
        low, high = points.min(0), points.max(0)
        middle, span = (low + high) / 2, float((high - low).max()) * _ROOM
        span = min(span, 2.0 * (reach[2] - reach[0] + reach[3] - reach[1]))
        inside = (middle > (reach[0], reach[1])).all() and (middle < (reach[2], reach[3])).all()
        if not inside or not np.isfinite(span) or span < 4:
            return None
        side = _SIDES[0] if span < _LARGE else _SIDES[1]
        whole = max(4, round(span))
        left, top = (int(v) for v in np.round(middle - whole / 2))
        return _Place(left, top, side / whole, side)

    def _painted(self, canvas: Image, found: FoundFace, pose: Pose, place: _Place, index: int) -> Patch | Refusal:
        seen, hole, width = self._holes(found, pose, place)
        if seen is None:
            return Refusal("a hidden face")
        side = place.side
        corner = np.array([place.left, place.top], np.float64)
        picture = cut_square(canvas, corner, place.scale, side)
        colour = coarse_colour(picture, seen)
        number = chosen(self._bank.people, self._choice, index, colour)
        points = place.points(pose.place(self._model.points(self._bank.people.shapes[number], self._moved(pose))))
        shown = rendered(self._bank.texture(number), points, self._model, (side, side))
        rim = max(1, round(_RIM * width))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
        drawn = (cv2.erode(shown.mask.astype(np.uint8), kernel) > 0) & hole
        if not drawn.any():
            return Refusal("a hidden face")
        surroundings = self._surroundings(canvas, hole, colour, place)
        painted = self._harmonized(surroundings, hole, moved_to(shown.image, drawn, colour), drawn)
        if not np.isfinite(painted).all():
            return Refusal("values that are not finite")
        crop = Crop(surroundings, ~hole, place.box)
        return natural(canvas, crop, painted, np.random.default_rng(index))

    def _moved(self, pose: Pose) -> Floats:
        if self._expression:
            return pose.expression
        from dp2.faces.pose import no_expression

        return no_expression(self._model)

    def _holes(self, found: FoundFace, pose: Pose, place: _Place) -> tuple[Mask | None, Mask, float]:
        """What is seen of the old face (None = too little), the hole, and the width of the face, in the square."""
        side = place.side
        points = place.points(pose.place(self._model.points(np.zeros(0, np.float32), pose.expression)))
        mesh = rasterized(points, self._model.triangles, (side, side)).mask
        width = float(np.ptp(points[:, 0]))
        sure = found.visible_in(place.left, place.top, place.scale, side)
        sure = smoothed(sure, width)
        near = grown(mesh, 0.12 * width)
        seen = (mesh & (sure > _UNSURE)) | (near & (sure > _BEYOND))
        if seen.sum() < _LEAST * max(1, int(mesh.sum())):
            return None, seen, width
        return seen, grown(seen, _MARGIN * width), width

    def _surroundings(self, canvas: Image, hole: Mask, colour: Floats, place: _Place) -> Image:
        """The square with the hole filled before it is resampled, so that nothing of the hole is mixed in."""
        span = place.box[2] - place.box[0]
        full = cv2.resize(hole.astype(np.uint8), (span, span), interpolation=cv2.INTER_NEAREST) > 0
        x0, y0, x1, y1 = clipped(place.box, *canvas.shape[:2])
        part = canvas[y0:y1, x0:x1].copy()
        inside = full[y0 - place.top : y1 - place.top, x0 - place.left : x1 - place.left]
        part[grown(inside, 1.0)] = np.round(colour).astype(np.uint8)
        corner = np.array([place.left - x0, place.top - y0], np.float64)
        square_ = cut_square(part, corner, place.scale, place.side)
        square_[hole] = np.round(colour).astype(np.uint8)
        return square_

    def _harmonized(self, picture: Image, hole: Mask, rendering: Image, drawn: Mask) -> Floats:
        """(S, S, 3) float32 in [0, 255]."""
        side = len(picture)
        if side not in self._engines:
            network = Network(harmonizer_onnx(self._arrays, side), exact=True)
            self._engines[side] = load_engine(network, engine=self._engine, device="cpu")
        layers = [picture / np.float32(255), hole[..., None], rendering / np.float32(255), drawn[..., None]]
        seen = np.concatenate(layers, 2, dtype=np.float32).transpose(2, 0, 1)[None]
        image = self._engines[side].run_named({"seen": np.ascontiguousarray(seen)})[0][0].transpose(1, 2, 0)
        pixels: Floats = np.clip(image, 0, 1) * np.float32(255)
        return pixels

    @cached_property
    def _table(self) -> dict[str, NDArray[np.generic]]:
        return network_table(load_arrays(self._weights), np.ndarray, str(self._weights))

    @property
    def _arrays(self) -> CheckpointArrays:
        return CheckpointArrays(self._table, str(self._weights), "dp2's harmonizer")
