"""Composes group.jpg: eight AI-made people of the package openpeople, in the park of one of their photos.

python media/make_group.py
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from cutouts import Cutout, cutout, outline, photo_of, without
from numpy.typing import NDArray
from PIL import Image

from dp2.detect.people.matte import SelfieMatte

HERE = Path(__file__).resolve().parent
SIZE = (1280, 720)
PLACE = "P007"  # whose photo gives the park
HORIZON = 292  # row of the picture at the height of the camera's eye
CAMERA = 1.19  # metres above the ground
PER_METRE = 336  # pixels at a depth of 1


@dataclass(frozen=True, slots=True)
class Stand:
    """Who stands where.

    Attributes:
        person: of openpeople.
        height: in metres, shoes included.
        x: of the middle of the body, as a share of the picture's width.
        depth: 1 is the front row, more is further away.
        light: factors of red, green and blue that bring the photo's light to the park's.
        mirrored: seen in a mirror.
    """

    person: str
    height: float
    x: float
    depth: float
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mirrored: bool = False


PEOPLE = (
    Stand("P008", 1.85, 0.370, 1.13, (1.06, 1.03, 0.97)),
    Stand("P005", 1.83, 0.660, 1.14, (1.08, 1.05, 0.99)),
    Stand("P007", 1.77, 0.165, 1.12, (1.03, 1.01, 0.97)),
    Stand("P001", 1.72, 0.862, 1.11, (1.08, 1.05, 0.98), mirrored=True),
    Stand("P006", 1.68, 0.515, 1.12, (1.10, 1.06, 0.99)),
    Stand("P010", 1.66, 0.268, 1.0, (1.10, 1.07, 0.98)),
    Stand("P002", 1.62, 0.440, 0.99, (1.05, 1.02, 0.96)),
    Stand("P004", 1.65, 0.702, 0.99, (1.06, 1.03, 0.97)),
)
FILL = (205, -215, 120, -120, 300, -300)  # pixels of the place's photo, see `without`
GRASS = 0.008  # share of a person's height that grass half hides


def park(place: NDArray[np.float32]) -> NDArray[np.float32]:
    """(720, 1280, 3): the trees as they are, the lawn below as a lower camera sees it."""
    height, width = place.shape[:2]
    factor = SIZE[0] / width
    seen_horizon = 0.42 * height
    rows = np.empty(SIZE[1], np.float32)
    above = np.arange(HORIZON + 1)
    rows[: HORIZON + 1] = seen_horizon - (HORIZON - above) / factor
    below = np.arange(1, SIZE[1] - HORIZON)
    rows[HORIZON + 1 :] = seen_horizon + below / factor * 1.75
    columns = np.arange(SIZE[0], dtype=np.float32) / factor
    grid = np.meshgrid(columns, rows.clip(0, height - 1))
    view = cv2.remap(place, grid[0], grid[1].astype(np.float32), cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    far = cv2.GaussianBlur(view, (0, 0), 2.2)  # the people are in focus, the trees are not
    share = np.clip((np.arange(SIZE[1]) - HORIZON - 40) / 240, 0, 1)[:, None, None].astype(np.float32)
    return np.asarray(far * (1 - share) + view * share, np.float32)


def placed(stand: Stand, whole: Cutout) -> tuple[Cutout, int, int]:
    """The person at his size, and the left and lower edge in the picture."""
    scale = PER_METRE / stand.depth
    person = whole.sized(round(stand.height * scale))
    if stand.mirrored:
        person = Cutout(person.colour[:, ::-1].copy(), person.cover[:, ::-1].copy())
    feet = round(HORIZON + CAMERA * scale)
    centre = float((person.cover.sum(0) * np.arange(person.cover.shape[1])).sum() / person.cover.sum())
    return person, round(SIZE[0] * stand.x - centre), feet


def shade(picture: NDArray[np.float32], person: Cutout, left: int, feet: int) -> None:
    """Darkens the ground: close below the shoes, and softly where the body keeps the sky's light away."""
    tall, wide = person.cover.shape
    dark = np.zeros(picture.shape[:2], np.float32)
    soles = person.cover[-round(tall * 0.05) :]
    flat = cv2.resize(soles, (wide, max(3, round(tall * 0.03))), interpolation=cv2.INTER_AREA)
    stamp(dark, flat, left, feet - round(tall * 0.008))
    contact = cv2.GaussianBlur(dark, (0, 0), tall * 0.006)
    dark[:] = 0
    lying = cv2.resize(person.cover, (wide, round(tall * 0.2)), interpolation=cv2.INTER_AREA)
    slope = np.float32([[1, -1.1, 1.1 * lying.shape[0]], [0, 1, 0]])
    lying = cv2.warpAffine(lying, slope, (wide + round(1.1 * lying.shape[0]), lying.shape[0]))
    stamp(dark, lying, left, feet - round(tall * 0.006))
    cast = cv2.GaussianBlur(dark, (0, 0), tall * 0.012)
    picture *= (1 - 0.55 * contact.clip(0, 1) ** 0.8)[..., None] * (1 - 0.4 * cast.clip(0, 1))[..., None]


def stamp(layer: NDArray[np.float32], piece: NDArray[np.float32], left: int, bottom: int) -> None:
    """Lays a piece with its lower left corner into a layer; what leaves the picture is cut off."""
    top = bottom - piece.shape[0]
    y0, y1, x0, x1 = max(top, 0), min(bottom, layer.shape[0]), max(left, 0), min(left + piece.shape[1], layer.shape[1])
    part = piece[y0 - top : y1 - top, x0 - left : x1 - left]
    layer[y0:y1, x0:x1] = np.maximum(layer[y0:y1, x0:x1], part)


def lay(picture: NDArray[np.float32], person: Cutout, left: int, feet: int, light: tuple[float, ...]) -> None:
    """Paints the person over the picture; towards the shoes less light reaches him."""
    tall, wide = person.cover.shape
    top = feet - tall
    low = np.interp(np.arange(tall) / tall, [1 - GRASS, 1], [1, 0.35]).astype(np.float32)[:, None]
    cover = (person.cover * low)[..., None]
    fading = np.interp(np.arange(tall) / tall, [0, 0.75, 1], [1, 1, 0.86]).astype(np.float32)[:, None, None]
    x0, x1 = max(left, 0), min(left + wide, picture.shape[1])
    cut = np.s_[:, x0 - left : x1 - left]
    under = picture[top:feet, x0:x1]
    colour = (person.colour * fading * np.float32(light))[cut]
    under[:] = under * (1 - cover[cut]) + colour * cover[cut]


def main() -> None:
    matte = SelfieMatte()
    photos = {stand.person: photo_of(stand.person) for stand in PEOPLE}
    outlines = {name: outline(photo, matte) for name, photo in photos.items()}
    group(photos, outlines).save(HERE / "group.jpg", quality=90)


def group(photos: dict[str, NDArray[np.uint8]], outlines: dict[str, NDArray[np.bool_]]) -> Image.Image:
    """The photo, composed from the furthest person to the nearest."""
    picture = park(0.93 * without(photos[PLACE], outlines[PLACE], FILL))
    everybody = [
        (stand, *placed(stand, cutout(photos[stand.person], outlines[stand.person])))
        for stand in sorted(PEOPLE, key=lambda one: -one.depth)
    ]
    for _, person, left, feet in everybody:
        shade(picture, person, left, feet)
    for stand, person, left, feet in everybody:
        lay(picture, person, left, feet, stand.light)
    grain = np.random.default_rng(0).normal(0, 1.2, picture.shape)
    return Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
