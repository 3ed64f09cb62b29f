"""Cleaning textures: what hair, background and steep views hide of a face is filled from its other half and from what
faces look like; light from one side is evened out.

Everything is found on small textures (64 texels): skin in a texture is what lies near the colours of the middle of that
face, save beards, which stay. Filled texels get smooth skin, joined without a seam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.faces.unwrap import texture_raster
from dp2.faces.mesh import FaceModel, Floats

SMALL = 64  # texels a side, at which is decided what is skin
_EYES = ((33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),)
_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_NOSTRILS = (98, 97, 2, 326, 327, 4)
_TOLERANCE = (15.0, 7.5, 8.5)  # of L, a, b (OpenCV's 8-bit Lab): what light does to skin
_FAR = 2.3  # tolerances: from here on it is not skin
_DARK_CHIN = 14.0  # of L below the cheeks: a beard
_BARE = 0.6  # of the forehead over the brows: else hair hangs into the face
_COMPONENTS = 40
_ROUNDS = 4
_EVEN = 0.75  # share of one-sided light that is taken away
_LIGHT = 0.09  # of the side: coarser than that is light


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Parts of a texture of `SMALL` texels: bool masks (S, S).

    Attributes:
        mesh: what is on the mesh.
        core: the middle of the face, which is always taken as it is.
        skin: of the core, what is bare skin on most faces.
        brows: where they are.
        above: a band of forehead over them: if that is bare, the brows are not hidden.
        chin, cheeks: where a beard is, and is not.
        beard: where one may reach.
    """

    mesh: NDArray[np.bool_]
    core: NDArray[np.bool_]
    skin: NDArray[np.bool_]
    brows: NDArray[np.bool_]
    above: NDArray[np.bool_]
    chin: NDArray[np.bool_]
    cheeks: NDArray[np.bool_]
    beard: NDArray[np.bool_]


def regions(model: FaceModel) -> Regions:
    """Those of a model's textures."""
    uv = model.uv * SMALL - 0.5
    y, x = np.mgrid[0:SMALL, 0:SMALL].astype(np.float32)
    # The outermost texels are mixed with what is off the mesh
    mesh = cv2.erode(texture_raster(model, SMALL).mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    nose, brow, chin = uv[1], uv[[105, 334], 1].min(), uv[152, 1]
    middle, half = (brow + chin) / 2 - 0.02 * SMALL, (chin - brow) / 2
    away = ((x - nose[0]) / (0.29 * SMALL)) ** 2 + ((y - middle) / (0.98 * half)) ** 2
    core = mesh & (away <= 1)
    features = _filled(uv, model, (*_EYES, _BROW, _LIPS, _NOSTRILS))
    brows = _filled(uv, model, (_BROW,)) & mesh
    above = np.roll(brows, -3, axis=0) & ~np.roll(brows, -1, axis=0) & ~brows & mesh
    lips = uv[17, 1]
    skin = core & ~features & (y < lips)
    cheeks = skin & (y > uv[[33, 263], 1].mean()) & (y < uv[0, 1] - 0.03 * SMALL) & (np.abs(x - nose[0]) > 0.1 * SMALL)
    below = mesh & (y > lips + 0.03 * SMALL) & (np.abs(x - nose[0]) < 0.12 * SMALL) & (y < chin - 0.03 * SMALL)
    return Regions(mesh, core, skin, brows, above, below, cheeks, mesh & (y > uv[[50, 280], 1].mean()))


def _filled(uv: Floats, model: FaceModel, parts: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    """(S, S): what lies within groups of points and their mirror images, dilated by two texels."""
    filled = np.zeros((SMALL, SMALL), np.uint8)
    for part in parts:
        for points in (part, model.mirror[list(part)].tolist()):
            hull = cv2.convexHull(uv[list(points)])
            cv2.fillConvexPoly(filled, np.round(hull * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    return np.asarray(cv2.dilate(filled, np.ones((5, 5), np.uint8)) > 0)


def skin_share(texture: NDArray[np.uint8], seen: Floats, parts: Regions) -> Floats:
    """(S, S) float32 in [0, 1]: 1 = of the face, 0 = to be filled.

    Args:
        texture: (S, S, 3) uint8 RGB, S = `SMALL`.
        seen: (S, S) see `dp2.data.faces.unwrap.visibility`; times the matte of the person, where there is one.
        parts: of the texture.
    """
    lab = cv2.cvtColor(texture, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab = cv2.GaussianBlur(lab, (0, 0), 0.8)
    level = np.median(lab[parts.skin], 0)
    far = np.sqrt((((lab - level) / _TOLERANCE) ** 2).sum(2))
    bare = far < _FAR
    if np.median(lab[parts.cheeks, 0]) - np.median(lab[parts.chin, 0]) > _DARK_CHIN:
        bearded = np.median(lab[parts.chin], 0)
        bare |= parts.beard & (np.sqrt((((lab - bearded) / (22, 9, 10)) ** 2).sum(2)) < _FAR)
    core = parts.core | parts.brows if bare[parts.above].mean() > _BARE else parts.core & ~parts.brows
    bare = cv2.erode(bare.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # halos of hair go with it
    # What hangs together with the core is face; a bright wall behind the ear does not
    _, labels = cv2.connectedComponents((bare | core).astype(np.uint8), connectivity=4)
    mine = labels == np.bincount(labels[core]).argmax()
    good = (mine | core) & parts.mesh
    return np.where(core & parts.mesh, 1, good * np.clip(seen, 0, 1)).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """What faces look like, coarsely.

    Attributes:
        mean: (S·S·3,) float32.
        components: (K, S·S·3) float32, orthonormal.
        variances: (K,) float32.
    """

    mean: Floats
    components: Floats
    variances: Floats

    def completed(self, texture: Floats, share: Floats) -> Floats:
        """(S, S, 3) float32 that looks like `texture` where `share` is 1, and plausible elsewhere."""
        weights = np.repeat(share.ravel(), 3)
        weighted = self.components * weights
        noise = 60.0  # variance of what the components do not tell, in squared 8-bit steps
        normal = weighted @ self.components.T + np.diag(noise / np.maximum(self.variances, 1e-3))
        code = np.linalg.solve(normal, weighted @ (texture.ravel() - self.mean))
        result: Floats = (self.mean + code @ self.components).reshape(texture.shape).astype(np.float32)
        return result


def fitted_appearance(textures: Floats, shares: Floats) -> Appearance:
    """Principal components of (N, S, S, 3) textures of which only a share is known, by imputation.

    Args:
        textures: float32 in [0, 255].
        shares: (N, S, S) in [0, 1].
    """
    count = len(textures)
    rows = textures.reshape(count, -1).astype(np.float32)
    known = np.repeat(shares.reshape(count, -1), 3, axis=1).astype(np.float32)
    mean = (rows * known).sum(0) / np.maximum(known.sum(0), 1)
    filled = rows * known + mean * (1 - known)
    for _ in range(_ROUNDS):
        mean = filled.mean(0)
        centred = filled - mean
        values, vectors = np.linalg.eigh(centred @ centred.T)
        order = np.argsort(values)[::-1][:_COMPONENTS]
        components = (centred.T @ vectors[:, order] / np.sqrt(np.maximum(values[order], 1e-6))).T
        again = centred @ components.T @ components + mean
        filled = rows * known + again * (1 - known)
    return Appearance(mean, components.astype(np.float32), (values[order] / count).astype(np.float32))


def cleaned(texture: NDArray[np.uint8], share: Floats, appearance: Appearance, parts: Regions) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 of a whole face.

    Args:
        texture: (S, S, 3) uint8 RGB of any size; its mirror image is the other half of the face.
        share: (`SMALL`, `SMALL`), see `skin_share`.
        appearance: of faces.
        parts: of the texture.
    """
    side = len(texture)
    small = cv2.resize(texture, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
    plausible = appearance.completed(small, share)
    own = _spread(small - plausible, share) + plausible
    own = _spread(own, parts.mesh.astype(np.float32))
    coarse = _enlarged(own, side)
    # Fine detail is lent by the other half, where that was seen
    other = texture[:, ::-1].astype(np.float32)
    detail = other - _enlarged(cv2.resize(other, (SMALL, SMALL), interpolation=cv2.INTER_AREA), side)
    lent = detail * np.clip(_enlarged(share[:, ::-1] * (1 - share), side), 0, 1)[..., None]
    known = cv2.GaussianBlur(_enlarged(share, side), (0, 0), side / 128)
    known = np.clip(known * 1.6 - 0.6, 0, 1)[..., None]
    whole = texture * known + (coarse + lent) * (1 - known)
    return np.asarray(np.clip(_evened(whole, side) + 0.5, 0, 255), np.uint8)


def _evened(texture: Floats, side: int) -> Floats:
    """With most of one-sided light taken away."""
    small = cv2.resize(texture, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    light = cv2.GaussianBlur(small, (0, 0), _LIGHT * SMALL)
    result: Floats = texture + _enlarged(_EVEN * 0.5 * (light[:, ::-1] - light), side)
    return result


def _spread(values: Floats, share: Floats) -> Floats:
    """(S, S, C) known where `share` is 1, carried on smoothly elsewhere."""
    weight, total = share.astype(np.float32), values * share[..., None]
    known, result = weight, total
    sigma = 1.0
    while sigma < len(share):
        blurred_weight = cv2.GaussianBlur(weight, (0, 0), sigma)
        blurred = cv2.GaussianBlur(total, (0, 0), sigma) / np.maximum(blurred_weight, 1e-4)[..., None]
        take = np.clip(blurred_weight / 0.2, 0, 1) * (1 - known)
        result = result + take[..., None] * blurred
        known = known + take
        sigma *= 2
    return result


def _enlarged(values: Floats, side: int) -> Floats:
    enlarged: Floats = cv2.resize(values, (side, side), interpolation=cv2.INTER_CUBIC)
    return enlarged
