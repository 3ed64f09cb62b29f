"""The bank of new people from a prepared set: many are mixed, the best are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.faces.curate import chosen, judged, shown, skin_tone
from dp2.data.faces.face_set import FaceSet
from dp2.data.faces.mix import Mixer, Sources
from dp2.errors import DatasetError
from dp2.faces.bank import AGES, PRESENTATIONS, People, packed
from dp2.faces.embedding import MobileFaceNet
from dp2.faces.mesh import FaceModel, Floats

Picture = NDArray[np.uint8]
LABELS = Path(__file__).with_name("labels.json")
TONES = 5  # classes of skin tone, in fifths of the portraits' own spread
_BOX = np.array([[30.0, 25.0, 130.0, 135.0]], np.float32)  # of a shown face
_RIDGE = 30.0
_FRINGE = 0.55  # of the texels above the brows must be bare
_SKIN = 0.62  # and of all
_LEAST_SHARP = 1.7
_MOST_LOPSIDED = 12.0
_CORE = 24  # rows of the texels' share above the brows


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a bank is to be.

    Attributes:
        count: of people.
        candidates: how many are mixed.
        side: of textures, in texels.
        quality: of WebP.
        seed: of every chance.
        like_portrait, like: largest similarities allowed, see `dp2.data.faces.curate.chosen`.
    """

    count: int = 2000
    candidates: int = 4200
    side: int = 288
    quality: int = 72
    seed: int = 13
    like_portrait: float = 0.72
    like: float = 0.76


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Attributes: `arrays` of the bank's file; `textures` (N, S, S, 3) uint8; `people`; `report` in words."""

    arrays: dict[str, NDArray[np.generic]]
    textures: list[Picture]
    people: People
    report: str


def made_bank(
    faces: FaceSet, model: FaceModel, embed: MobileFaceNet, wanted: Wanted, told: Callable[[str], None]
) -> Made:
    """Mix, judge and choose.

    Args:
        faces: prepared portraits.
        model: of faces.
        embed: tells how alike two are.
        wanted: what is made.
        told: hears how far it is.
    """

    textures = _Textures(faces, wanted.side)
    tones, chins, fine, views = [], [], [], []
    for number in range(len(faces)):
        texture = textures(number)
        tones.append(skin_tone(texture))
        chins.append(_beard(texture))
        fine.append(judged(texture).sharpness)
        views.append(shown(texture, faces.shapes[number], model))
    portraits = _embedded(views, embed)
    told(f"{len(faces)} portraits seen")
    sources = _sources(faces, portraits, textures, np.stack(tones), np.array(chins), np.array(fine))
    told(f"{int(sources.usable.sum())} of them are mixed from")
    mixer = Mixer(sources, model, wanted.side)
    rng = np.random.default_rng(wanted.seed)
    cell_of = _cells(sources.women, sources.ages, sources.tones[:, 0], sources.tones[:, 0])
    mixed, kept_judged = [], []
    order = _balanced(cell_of, sources, wanted.candidates, rng)
    for base in order:
        person = mixer.mixed(int(base), rng)
        seen = judged(person.texture)
        if seen.sharpness >= _LEAST_SHARP and seen.lopsided <= _MOST_LOPSIDED:
            mixed.append(person)
            kept_judged.append(seen)
        if len(mixed) % 400 == 0:
            told(f"{len(mixed)} people mixed")
    told(f"{len(mixed)} of {wanted.candidates} people are sharp and even")
    embeddings = _embedded([shown(person.texture, person.shape, model) for person in mixed], embed)
    women = np.array([person.woman for person in mixed])
    ages = np.array([person.age for person in mixed])
    lightness = np.array([seen.tone[0] for seen in kept_judged])
    cells = _cells(women, ages, lightness, sources.tones[:, 0])
    numbers = chosen(
        embeddings, portraits, cells, count=wanted.count, like_portrait=wanted.like_portrait, like=wanted.like
    )
    people = People(
        np.stack([mixed[n].shape for n in numbers]),
        np.stack([kept_judged[n].tone for n in numbers]),
        np.clip(np.round(ages[numbers]), 0, len(AGES) - 1).astype(np.uint8),
        (women[numbers] < 0.5).astype(np.uint8),
    )
    kept = [mixed[n].texture for n in numbers]
    files = [_encoded(picture, wanted.quality) for picture in kept]
    report = _report(people, embeddings[numbers], portraits, cells[numbers], len(mixed), sum(map(len, files)))
    return Made(packed(files, people), kept, people, report)


class _Textures:
    """Textures of the portraits at one size; those with fine detail, which come often, stay in memory."""

    def __init__(self, faces: FaceSet, side: int) -> None:
        self._faces, self._side = faces, side
        self._held: dict[int, Picture] = {}

    def __call__(self, number: int) -> Picture:
        if number in self._held:
            return self._held[number]
        texture = self._faces.texture(number)
        texture = np.asarray(cv2.resize(texture, (self._side, self._side), interpolation=cv2.INTER_AREA), np.uint8)
        if self._faces.large[number]:
            self._held[number] = texture
        return texture


def _embedded(views: Sequence[tuple[Picture, Floats]], embed: MobileFaceNet) -> Floats:
    """(N, C) of pictures with their landmarks, see `dp2.data.faces.curate.shown`."""
    boxes = np.repeat(_BOX, len(views), 0)
    return embed([view for view, _ in views], boxes, np.stack([spots for _, spots in views]))


def _sources(
    faces: FaceSet, embeddings: Floats, texture: Callable[[int], Picture], tones: Floats,
    chins: NDArray[np.float64], fine: NDArray[np.float64],
) -> Sources:  # fmt: skip
    count = len(faces)
    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    stems = [Path(name).stem for name in faces.names]
    known = np.flatnonzero(faces.large)
    if not len(known):
        raise DatasetError("the set holds no portraits of known age; prepare it with faces/portrait512.")
    age = np.array([2.0 * (s in labels["old"]) + (s in labels["middle"]) for s in stems])
    woman = np.array([float(s.startswith("female")) for s in stems])
    shares = np.stack([faces.share(number) for number in range(count)]) / 255
    rows = np.concatenate([embeddings * 3, faces.shapes[:, :30] * 0.3, (fine[:, None] - fine.mean()) * 0.2], 1)
    guessed_age, guessed_woman = (_guessed(rows, known, values[known]) for values in (age, woman))
    others = np.ones(count, bool)
    others[known] = False
    age[others] = np.clip(guessed_age[others], 0, 2)
    woman[others] = np.clip(guessed_woman[others], 0, 1)
    bare = shares[:, 8:_CORE, 16:48].mean((1, 2)) > _FRINGE
    whole = shares[:, 6:58, 10:54].mean((1, 2)) > _SKIN
    glasses = np.array([s in labels["glasses"] for s in stems]) & ~others
    return Sources(
        texture, faces.shapes, tones, chins.astype(np.float32),
        woman.astype(np.float32), age.astype(np.float32), faces.large,
        bare & whole & ~glasses,
    )  # fmt: skip


def _guessed(rows: Floats, known: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridge regression from the labelled ones to all."""
    columns = np.concatenate([rows, np.ones((len(rows), 1))], 1).astype(np.float64)
    own = columns[known]
    weights = np.linalg.solve(own.T @ own + _RIDGE / 10 * np.eye(own.shape[1]), own.T @ values)
    guessed: NDArray[np.float64] = columns @ weights
    return guessed


def _beard(texture: Picture) -> float:
    """How much darker the chin is than the cheeks, in L."""
    side = len(texture)
    light = cv2.cvtColor(texture, cv2.COLOR_RGB2LAB)[..., 0]
    chin = light[int(0.86 * side) : int(0.94 * side), int(0.42 * side) : int(0.58 * side)]
    cheeks = light[int(0.5 * side) : int(0.58 * side)][
        :, [*range(side // 4, side // 3), *range(2 * side // 3, 3 * side // 4)]
    ]
    return float(np.median(cheeks) - np.median(chin))


def _cells(
    women: NDArray[np.floating], ages: NDArray[np.floating], light: NDArray[np.floating], spread: NDArray[np.floating]
) -> NDArray[np.int64]:
    """(N,) kind of person: presentation × age × tone."""
    edges = np.linspace(np.quantile(spread, 0.02), np.quantile(spread, 0.95), TONES + 1)[1:-1]
    tone = np.searchsorted(edges, light)
    age = np.clip(np.round(ages), 0, len(AGES) - 1).astype(np.int64)
    return np.asarray(((women < 0.5) * len(AGES) + age) * TONES + tone, np.int64)


def _balanced(cells: NDArray[np.int64], sources: Sources, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(count,) base portraits, all cells equally often, those with fine detail first."""
    weight = np.where(sources.usable, np.where(sources.large, 6.0, 1.0), 0.0)
    for cell in np.unique(cells):
        total = weight[cells == cell].sum()
        if total:
            weight[cells == cell] /= total
    return np.asarray(rng.choice(len(cells), count, p=weight / weight.sum()), np.int64)


def _encoded(picture: Picture, quality: int) -> bytes:
    _, data = cv2.imencode(".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])
    return bytes(data.tobytes())


def _report(
    people: People, embeddings: Floats, portraits: Floats, cells: NDArray[np.int64], mixed: int, size: int
) -> str:
    near = (embeddings @ portraits.T).max(1)
    alike = embeddings @ embeddings.T
    np.fill_diagonal(alike, -1)
    portraits_alike = portraits @ portraits.T
    np.fill_diagonal(portraits_alike, -1)
    lines = [
        f"{len(people)} people of {mixed} mixed, {size / 1e6:.1f} MB",
        *(f"{name}: {int((people.presentations == n).sum())}" for n, name in enumerate(PRESENTATIONS)),
        *(f"{name}: {int((people.ages == n).sum())}" for n, name in enumerate(AGES)),
        f"skin tone, dark to pale: {[int((cells % TONES == tone).sum()) for tone in range(TONES)]}",
        f"nearest portrait, similarity: median {np.median(near):.2f}, 95 % {np.quantile(near, 0.95):.2f}, "
        f"most {near.max():.2f} (portraits among each other: median {np.median(portraits_alike.max(1)):.2f}, "
        f"95 % {np.quantile(portraits_alike.max(1), 0.95):.2f})",
        f"nearest other, similarity: median {np.median(alike.max(1)):.2f}, most {alike.max():.2f}; any two: mean "
        f"{alike[np.triu_indices(len(alike), 1)].mean():.2f}",
    ]
    return "\n".join(lines)
