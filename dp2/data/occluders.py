"""What may hide a part of a face: people who walk past, hands, microphones, poles, leaves."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.portrait.scene import drawn_scene

Picture = NDArray[np.uint8]
Floats = NDArray[np.floating]
_SKIN = np.array([[236, 200, 178], [198, 148, 118], [141, 96, 70], [80, 54, 42]], np.float32)  # pale to dark


@dataclass(frozen=True, slots=True, eq=False)
class Occluder:
    """Attributes: `image` (S, S, 3) uint8 RGB; `cover` (S, S) float32 in [0, 1], 1 where it hides what is behind."""

    image: Picture
    cover: Floats

    def over(self, picture: Picture) -> Picture:
        """The picture behind it."""
        share = self.cover[..., None]
        return np.clip(picture * (1 - share) + self.image * share + 0.5, 0, 255).astype(np.uint8)


def drawn_occluder(side: int, middle: Floats, width: float, rng: np.random.Generator) -> Occluder:
    """A hand, a thing or a pole that reaches into a face.

    Args:
        side: of the picture.
        middle: (2,) of the face, in pixels.
        width: of the face.
        rng: of every chance.
    """
    kind = rng.random()
    if kind < 0.45:
        cover = _hand(side, middle, width, rng)
        tone = _SKIN[rng.integers(len(_SKIN))] * rng.uniform(0.7, 1.15)
        image = np.broadcast_to(tone, (side, side, 3)) * _relief(cover, rng)[..., None]
    else:
        cover = _thing(side, middle, width, rng)
        image = drawn_scene(side, rng) * (_relief(cover, rng)[..., None] if rng.random() < 0.5 else 1)
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.3, 1.2))
    return Occluder(np.clip(image, 0, 255).astype(np.uint8), soft)


def passing_person(picture: Picture, matte: Floats, middle: Floats, width: float, rng: np.random.Generator) -> Occluder:
    """Somebody else in front, of whom a shoulder or half a head hides the face.

    Args:
        picture: (S, S, 3) a portrait.
        matte: (S, S) in [0, 1], 1 on that person.
        middle, width: of the face that is hidden.
        rng: of every chance.
    """
    side = len(picture)
    scale = rng.uniform(0.8, 2.2)
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.95) * scale * side / 2
    aim = middle + away * np.array([np.cos(angle), 0.4 * np.sin(angle) + 0.6]) + rng.normal(0, 0.1, 2) * width
    matrix = np.array([[scale, 0, aim[0] - scale * side / 2], [0, scale, aim[1] - scale * side / 2]], np.float32)
    moved = cv2.warpAffine(np.dstack([picture, (matte * 255).astype(np.uint8)]), matrix, (side, side))
    cover = np.clip((moved[..., 3].astype(np.float32) / 255 - 0.5) * 2.5 + 0.5, 0, 1)
    return Occluder(np.ascontiguousarray(moved[..., :3]), cover)


def _hand(side: int, middle: Floats, width: float, rng: np.random.Generator) -> Floats:
    """Fingers from one side, side by side, and a palm."""
    cover = np.zeros((side, side), np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ahead = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-ahead[1], ahead[0]])
    tip = middle + rng.normal(0, 0.28, 2) * width
    thick = width * rng.uniform(0.07, 0.13)
    for number in range(int(rng.integers(1, 5))):
        start = tip + across * thick * 1.15 * number + ahead * rng.normal(0, 0.06) * width
        end = start + ahead * width * rng.uniform(0.35, 0.6) + across * rng.normal(0, 0.04) * width
        _line(cover, start, end, thick)
        _line(cover, end, end + ahead * width, thick * rng.uniform(1.2, 2.2))
    return cover


def _thing(side: int, middle: Floats, width: float, rng: np.random.Generator) -> Floats:
    cover = np.zeros((side, side), np.float32)
    place = middle + rng.normal(0, 0.35, 2) * width
    kind = rng.random()
    if kind < 0.4:  # a pole, a strap, a cable
        angle = rng.uniform(0, np.pi)
        reach = np.array([np.cos(angle), np.sin(angle)]) * 2 * side
        _line(cover, place - reach, place + reach, width * np.exp(rng.uniform(np.log(0.02), np.log(0.4))))
    elif kind < 0.7:  # a cup, a telephone, a microphone with its stand
        size = width * rng.uniform(0.15, 0.55, 2)
        box = (tuple(map(float, place)), tuple(map(float, size)), float(rng.uniform(0, 180)))
        if rng.random() < 0.5:
            cv2.ellipse(cover, box, 1.0, -1)
        else:
            cv2.fillPoly(cover, [cv2.boxPoints(box).astype(np.int32)], 1.0)
        if rng.random() < 0.5:
            _line(cover, place, place + np.array([rng.normal(0, 0.5), 2]) * width, 0.4 * size.min())
    else:  # leaves, cloth: blobs
        noise = cv2.resize(rng.random((6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        y, x = np.mgrid[0:side, 0:side]
        near = np.exp(-(((x - place[0]) ** 2 + (y - place[1]) ** 2) / (0.5 * width) ** 2))
        cover = ((noise + 0.6 * near) > rng.uniform(0.75, 1.1)).astype(np.float32)
    return cover


def _line(cover: Floats, start: Floats, end: Floats, thick: float) -> None:
    a, b = (tuple(round(float(v)) for v in np.clip(p, -9999, 9999)) for p in (start, end))
    cv2.line(cover, a, b, 1.0, max(1, round(thick)), cv2.LINE_AA)


def _relief(cover: Floats, rng: np.random.Generator) -> Floats:
    """(S, S) factor: rounder and darker towards edges, lit from one side."""
    depth = cv2.GaussianBlur(cover, (0, 0), max(1.0, 0.02 * len(cover)))
    slope = cv2.Sobel(depth, cv2.CV_32F, 1, 0) * rng.normal() + cv2.Sobel(depth, cv2.CV_32F, 0, 1) * rng.normal()
    return np.asarray(np.clip(0.55 + 0.45 * depth + 0.35 * slope, 0.2, 1.4), np.float32)
