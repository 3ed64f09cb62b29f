"""Other surroundings for a portrait: a face generator that has seen people before grey walls only paints grey halos."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from dp2.data.portrait.light import Floats, Picture

_SOLID = 0.95  # of the matte: from here on a pixel shows nothing of what was behind
_RIM = 0.03  # of the side: how far the person's own colours are carried outwards, over what shone through the hair
_STEEP = 1.6  # of the matte's edge, about its middle: a soft matte would leave a ghost of the old wall


def before(picture: Picture, cover: Floats, scene: Picture) -> Picture:
    """A person in front of something else.

    Args:
        picture: (H, W, 3) uint8 RGB with the person.
        cover: (H, W) float32 in [0, 1], 1 on the person.
        scene: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8. At the person's edge the colours come from inside, where the old surroundings do not shine.
    """
    own = picture.astype(np.float32)
    solid = (cover >= _SOLID).astype(np.float32)
    reach = max(1.0, _RIM * len(picture))
    weight = cv2.GaussianBlur(solid, (0, 0), reach)
    carried = cv2.GaussianBlur(own * solid[..., None], (0, 0), reach) / np.maximum(weight, 1e-3)[..., None]
    known = np.maximum(solid, np.clip(1 - weight / 0.05, 0, 1))[..., None]  # far from all that is solid: as it is
    own = own * known + carried * (1 - known)
    share = np.clip((cover - 0.5) * _STEEP + 0.5, 0, 1)[..., None]
    mixed: Picture = np.clip(own * share + scene * (1 - share) + 0.5, 0, 255).astype(np.uint8)
    return mixed


def drawn_scene(side: int, rng: np.random.Generator) -> Picture:
    """(side, side, 3) uint8 RGB: walls, skies, things and textures of any colour, more or less out of focus."""
    scene = _shaded(side, rng)
    kind = rng.random()
    if kind < 0.55:
        scene = _cluttered(scene, rng)
    elif kind < 0.8:
        scene = _textured(scene, rng)
    if rng.random() < 0.7:
        scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), np.exp(rng.uniform(np.log(0.5), np.log(0.08 * side)))))
    return np.clip(scene, 0, 255).astype(np.uint8)


def cut_scene(picture: Picture, side: int, rng: np.random.Generator) -> Picture:
    """(side, side, 3) uint8 RGB: some part of another picture, of whatever size, maybe mirrored and out of focus."""
    height, width = picture.shape[:2]
    span = max(2, int(min(height, width) * rng.uniform(0.35, 1)))
    top, left = int(rng.integers(height - span + 1)), int(rng.integers(width - span + 1))
    part = picture[top : top + span, left : left + span]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    scene = cv2.resize(np.ascontiguousarray(part), (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.5, 0.04 * side))
    return np.asarray(scene, np.uint8)


def _colour(rng: np.random.Generator) -> tuple[float, ...]:
    """RGB in [0, 255], as often pale or dark as strong."""
    parts = colorsys.hsv_to_rgb(float(rng.random()), float(rng.beta(1.2, 1.6)), float(rng.uniform(0.03, 1)))
    return tuple(255 * part for part in parts)


def _shaded(side: int, rng: np.random.Generator) -> Floats:
    """From one colour to another, or nearly the same one."""
    first = np.array(_colour(rng))
    second = np.array(_colour(rng)) if rng.random() < 0.4 else first * rng.uniform(0.6, 1.4)
    y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    along = (along - along.min()) / max(float(np.ptp(along)), 1e-6)
    return np.asarray(first + (second - first) * along[..., None], np.float32)


def _cluttered(scene: Floats, rng: np.random.Generator) -> Floats:
    """Rectangles, ellipses and bars, large ones first."""
    side = len(scene)
    scene = np.ascontiguousarray(scene)
    count = int(rng.integers(1, 14))
    for size in sorted(rng.uniform(0.05, 0.9, count), reverse=True):
        middle = rng.uniform(0, side, 2)
        half = size * side / 2 * np.exp(rng.normal(0, 0.5, 2))
        box = (tuple(middle), tuple(2 * half), float(rng.choice([0, 90, rng.uniform(0, 180)])))
        if rng.random() < 0.6:
            cv2.fillPoly(scene, [cv2.boxPoints(box).astype(np.int32)], _colour(rng))
        else:
            cv2.ellipse(scene, box, _colour(rng), -1)
    return scene


def _textured(scene: Floats, rng: np.random.Generator) -> Floats:
    """Leaves, stone, cloth: noise of several sizes, in brightness and a little in colour."""
    side = len(scene)
    for cells in (4, 9, 20, 48):
        noise = rng.standard_normal((min(cells, side), min(cells, side), 3)).astype(np.float32)
        noise = 0.75 * noise.mean(2, keepdims=True) * np.sqrt(3) + 0.25 * noise
        scene = scene + rng.uniform(0, 26) * cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(scene, np.float32)
