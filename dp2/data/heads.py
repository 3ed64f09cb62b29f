"""Heads around rendered faces: hair or none, a neck, shoulders, light from one side, glasses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.faces.mesh import FaceModel, Indices
from dp2.faces.render import rasterized
from dp2.faces.texture import Texture

Floats = NDArray[np.floating]
_RINGS, _SPOKES = 18, 24
_HAIR = np.array(
    [[20, 17, 15], [44, 30, 22], [84, 58, 38], [150, 110, 66], [196, 164, 116], [150, 148, 146], [222, 220, 216]]
)
_CENTRE = np.array([0.0, -0.35, 1.05])  # of the skull, in model units
_RADII = np.array([1.42, 1.78, 1.95])


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What is drawn with a face: a mesh with a colour at each point, in model coordinates.

    Attributes:
        points: (P, 3) float32.
        triangles: (T, 3) int32.
        colours: (P, 3) float32 RGB in [0, 255].
    """

    points: Floats
    triangles: Indices
    colours: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Attributes: `image` (H, W, 3) float32; `cover` (H, W) bool: head or face; `face` (H, W) bool: face."""

    image: Floats
    cover: NDArray[np.bool_]
    face: NDArray[np.bool_]


def drawn_head(skin: Floats, rng: np.random.Generator) -> Head:
    """A head for a face of a colour: a skull with or without hair, fringe or long hair, a neck and shoulders."""
    hair = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.7, 1.2)
    bald = rng.random() < 0.2
    shell = rng.uniform(1.0, 1.18) if not bald else 1.0
    theta = np.linspace(0, np.pi, _RINGS)[:, None] * np.ones((1, _SPOKES))
    phi = np.ones((_RINGS, 1)) * np.linspace(0, 2 * np.pi, _SPOKES, endpoint=False)
    ball = np.stack([np.sin(theta) * np.sin(phi), -np.cos(theta), -np.sin(theta) * np.cos(phi)], -1)
    ball = ball.reshape(-1, 3)
    rough = 1 + rng.normal(0, 0.035 if not bald else 0.005, (len(ball), 1))
    points = _CENTRE + ball * _RADII * shell * rough
    colours = np.broadcast_to(skin if bald else hair, points.shape).astype(np.float64)
    colours = colours * (1 + rng.normal(0, 0.12 if not bald else 0.03, (len(points), 1)))
    triangles = _sphere()
    # The front of the skull is open where the face is; how far hair hangs into it varies
    fringe = rng.uniform(-1.75, -0.95) if rng.random() < 0.35 else -1.6
    beside = rng.uniform(0.85, 1.4)
    ahead = points[:, 2] < rng.uniform(0.45, 0.95)
    open_ = ahead & (points[:, 1] > fringe + rng.normal(0, 0.1, len(points))) & (np.abs(points[:, 0]) < beside)
    open_ |= (points[:, 1] > 0.6 + rng.uniform(-0.4, 0.6)) & (points[:, 2] < 1.0)
    triangles = triangles[~open_[triangles].any(1)]
    parts = [(points, triangles, colours), _tube(0.62 * rng.uniform(0.85, 1.2), skin * 0.85, rng)]
    if not bald and rng.random() < 0.4:
        parts.append(_curtain(hair, rng))
    offset = 0
    all_points: list[Floats] = []
    all_triangles: list[Indices] = []
    all_colours: list[Floats] = []
    for some, faces, tint in parts:
        all_points.append(some)
        all_triangles.append(faces + offset)
        all_colours.append(tint)
        offset += len(some)
    return Head(
        np.concatenate(all_points).astype(np.float32),
        np.concatenate(all_triangles).astype(np.int32),
        np.clip(np.concatenate(all_colours), 0, 255).astype(np.float32),
    )


def posed(
    face: Floats, texture: Texture | None, head: Head, place: tuple[Floats, float, Floats], model: FaceModel, side: int,
    light: Floats,
) -> Scene:  # fmt: skip
    """Face and head drawn together, each hiding what is behind.

    Args:
        face: (468, 3) in model coordinates.
        texture: of the face; None = a head seen without one.
        head: around it.
        place: rotation, scale and shift to pixels, as of `dp2.faces.pose.Pose`.
        model: of faces.
        side: of the picture, in pixels.
        light: (3,) towards it, its length how strong it is beside an even one.
    """
    rotation, scale, shift = place
    own = face if texture is not None else np.zeros((0, 3), np.float32)
    points = np.concatenate([own, head.points])
    faces = model.triangles if texture is not None else np.zeros((0, 3), np.int32)
    triangles = np.concatenate([faces, head.triangles + len(own)])
    turned = points @ rotation.T
    placed = (scale * turned + shift).astype(np.float32)
    back = np.concatenate([np.zeros(len(faces), bool), np.ones(len(head.triangles), bool)])
    raster = rasterized(placed, _turned_to_camera(placed, triangles, back), (side, side))
    shade = _shade(turned, triangles, light)
    colours = np.concatenate([np.zeros((len(own), 3), np.float32), head.colours])
    values = raster.interpolated(np.concatenate([colours, shade[:, None]], 1).astype(np.float32))
    image = values[..., :3]
    seen = raster.mask & (raster.shown < len(faces))
    if texture is not None and seen.any():
        uv_all = np.concatenate([model.uv, np.zeros((len(head.points), 2), np.float32)])
        uv = raster.interpolated(uv_all)
        footprint = np.where(seen, raster.footprint(uv_all, texture.side), 1).astype(np.float32)
        image = np.where(seen[..., None], texture.sampled(uv, footprint), image)
    return Scene(np.clip(image * values[..., 3:], 0, 255) * raster.mask[..., None], raster.mask, seen)


def with_glasses(texture: NDArray[np.uint8], model: FaceModel, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A texture with frames, and lenses that may be dark or mirroring."""
    side = len(texture)
    drawn = texture.copy()
    uv = model.uv * side
    tint = tuple(float(v) for v in rng.uniform(0, 255, 3) * (0.25 if rng.random() < 0.7 else 1))
    thick = max(1, round(side * rng.uniform(0.006, 0.02)))
    size = rng.uniform(0.09, 0.13) * side, rng.uniform(0.06, 0.1) * side
    dark = rng.uniform(0.75, 1) if rng.random() < 0.4 else rng.uniform(0, 0.2)
    lens = np.zeros((side, side), np.float32)
    middles = [(uv[a] + uv[b]) / 2 + (0, 0.015 * side) for a, b in ((33, 133), (362, 263))]
    for middle in middles:
        box = (tuple(map(float, middle)), (2 * size[0], 2 * size[1]), 0.0)
        cv2.ellipse(lens, box, 1.0, -1)
    drawn = np.clip(drawn * (1 - dark * lens[..., None]) + dark * lens[..., None] * np.array(tint) * 0.5, 0, 255)
    drawn = np.ascontiguousarray(drawn.astype(np.uint8))
    for middle, sign in zip(middles, (-1, 1), strict=True):
        box = (tuple(map(float, middle)), (2 * size[0], 2 * size[1]), 0.0)
        cv2.ellipse(drawn, box, tint, thick, cv2.LINE_AA)
        start = (int(middle[0] + sign * size[0]), int(middle[1]))
        end = (0 if sign < 0 else side - 1, int(middle[1] - 0.02 * side))
        cv2.line(drawn, start, end, tint, thick, cv2.LINE_AA)
    bridge = [(int(m[0] - s * size[0]), int(m[1])) for m, s in zip(middles, (-1, 1), strict=True)]
    cv2.line(drawn, bridge[0], bridge[1], tint, thick, cv2.LINE_AA)
    return drawn


def _sphere() -> Indices:
    """(T, 3) of a grid of rings and spokes."""
    ring, spoke = (v.ravel() for v in np.mgrid[0 : _RINGS - 1, 0:_SPOKES])
    after = (spoke + 1) % _SPOKES
    a, b = ring * _SPOKES + spoke, ring * _SPOKES + after
    return np.concatenate([np.stack([a, b, a + _SPOKES], 1), np.stack([b, b + _SPOKES, a + _SPOKES], 1)]).astype(
        np.int32
    )


def _tube(radius: float, colour: Floats, rng: np.random.Generator) -> tuple[Floats, Indices, Floats]:
    """A neck that widens to shoulders, these in the colour of clothes."""
    heights = np.array([1.0, 1.7, 2.3, 2.6, 3.4, 5.0])
    widths = np.array([1.0, 1.0, 1.15, 2.6, 3.4, 3.6]) * radius
    angle = np.linspace(0, 2 * np.pi, _SPOKES, endpoint=False)
    points = np.stack(
        [
            np.outer(widths, np.sin(angle)),
            np.outer(heights, np.ones(_SPOKES)),
            1.0 - np.outer(np.minimum(widths, 1.6 * radius), np.cos(angle)),
        ],
        -1,
    ).reshape(-1, 3)
    cloth = rng.uniform(0, 255, 3)
    colours = np.concatenate([np.tile(colour, (3 * _SPOKES, 1)), np.tile(cloth, (3 * _SPOKES, 1))])
    ring, spoke = (v.ravel() for v in np.mgrid[0 : len(heights) - 1, 0:_SPOKES])
    after = (spoke + 1) % _SPOKES
    a, b = ring * _SPOKES + spoke, ring * _SPOKES + after
    triangles = np.concatenate([np.stack([a, b, a + _SPOKES], 1), np.stack([b, b + _SPOKES, a + _SPOKES], 1)])
    return points, triangles.astype(np.int32), colours


def _curtain(hair: Floats, rng: np.random.Generator) -> tuple[Floats, Indices, Floats]:
    """Long hair beside the face, down to somewhere between ears and chest."""
    length, near = rng.uniform(0.8, 3.2), rng.uniform(1.0, 1.45)
    count = 9
    points, triangles = [], []
    for sign in (-1.0, 1.0):
        for row in range(2 * count):
            y = -1.0 + (length + 1.0) * (row // 2) / (count - 1)
            deep = rng.uniform(0.2, 0.5) if row % 2 == 0 else 1.6
            points.append([sign * (near + 0.12 * np.sin(y) + rng.normal(0, 0.04)), y, deep])
        start = len(points) - 2 * count
        for row in range(count - 1):
            a = start + 2 * row
            triangles += [[a, a + 1, a + 2], [a + 1, a + 3, a + 2]]
    colours = np.tile(hair, (len(points), 1)) * (1 + rng.normal(0, 0.15, (len(points), 1)))
    return np.array(points), np.array(triangles, np.int32), colours


def _turned_to_camera(points: Floats, triangles: Indices, both_sides: NDArray[np.bool_]) -> Indices:
    """Triangles that count from both sides are turned so that they are seen."""
    a, b, c = (points[triangles[:, corner], :2] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return np.where((both_sides & (area < 0))[:, None], triangles[:, [0, 2, 1]], triangles).astype(np.int32)


def _shade(points: Floats, triangles: Indices, light: Floats) -> Floats:
    """(P,) factor at each point: more where the surface faces the light."""
    normals = np.zeros_like(points)
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    flat = np.cross(b - a, c - a)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], flat)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    normals *= np.where(normals[:, 2:] > 0, -1.0, 1.0)  # towards the camera
    return np.clip(1 - 0.5 * np.linalg.norm(light) + normals @ light, 0.15, 1.8).astype(np.float32)
