"""From folders of portraits to a prepared set: mesh, clean texture, pose, shape and matte of every face."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.faces.clean import SMALL, cleaned, fitted_appearance, regions, skin_share
from dp2.data.faces.face_set import ARRAYS, MATTE, NAMES, PICTURES, TEXTURES, packed_pose
from dp2.data.faces.model import fitted_model
from dp2.data.faces.teacher import Teacher, agreement
from dp2.data.faces.unwrap import texture_raster, unwrapped, visibility
from dp2.detect.faces.centerface import CenterFace
from dp2.detect.people.matte import SelfieMatte
from dp2.errors import DatasetError, OutputError
from dp2.faces.mesh import FaceModel, Floats
from dp2.faces.pose import fit_pose

Picture = NDArray[np.uint8]
_SURE, _AGREED = 0.9, 0.14  # of the teacher, and between it and the detector
_DETECTED_AT = 256  # pixels
_TEXTURE = 320  # texels a side
_AROUND = 2.6  # sides of the kept picture in those of the mesh
_LARGEST = 448  # pixels
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]
_BASIS = 1200  # portraits from which is learned what faces look like
_MATTE_STEEP = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Attributes: `path` of a portrait; `points` (468, 3) of its face in its pixels."""

    path: Path
    points: Floats


def found_faces(paths: Iterable[Path], teacher: Teacher, told: Callable[[str], None]) -> list[Found]:
    """The largest face of each portrait, where detector and teacher are sure and agree."""
    detector = CenterFace(score_threshold=0.3)
    faces = []
    for path in paths:
        image = _read(path)
        scale = len(image) / _DETECTED_AT
        small = cv2.resize(image, (_DETECTED_AT, _DETECTED_AT), interpolation=cv2.INTER_AREA) if scale > 1 else image
        detections = detector([np.asarray(small, np.uint8)])[0][0]
        if not len(detections.boxes) or detections.keypoints is None:
            told(f"{path}: no face is found.")
            continue
        best = int(np.argmax(detections.scores))
        factor = max(1.0, scale)
        box, landmarks = detections.boxes[best] * factor, detections.keypoints[best][:, :2] * factor
        mesh = teacher(image, box, landmarks)
        if mesh.score < _SURE or agreement(mesh, box, landmarks) > _AGREED:
            told(f"{path}: the teacher is not sure of its face.")
            continue
        faces.append(Found(path, mesh.points))
    if not faces:
        raise DatasetError("no face was found in any portrait.")
    return faces


def learned_model(faces: Sequence[Found]) -> FaceModel:
    """The face model of all portraits."""
    return fitted_model(np.stack([face.points for face in faces]))[0]


def write_set(faces: Sequence[Found], model: FaceModel, matte: SelfieMatte, root: Path, folder: Path) -> None:
    """Write the prepared set.

    Args:
        faces: of the portraits.
        model: of faces.
        matte: tells people from what is behind.
        root: names in the set are relative to it.
        folder: gets the set.

    Raises:
        OutputError: it cannot be written.
    """
    from safetensors.numpy import save_file

    fine, small, parts = texture_raster(model, _TEXTURE), texture_raster(model, SMALL), regions(model)
    coarse: list[Picture] = []
    shares: list[Floats] = []
    mattes: list[Floats] = []
    for face in faces:
        image = _read(face.path)
        cover = np.asarray(matte.soft(image), np.float32)
        known = unwrapped(np.repeat((cover * 255).astype(np.uint8)[..., None], 3, 2), face.points, small)[..., 0]
        seen = visibility(face.points, small) * np.clip((known / 255 - 0.5) * _MATTE_STEEP, 0, 1)
        texture = unwrapped(image, face.points, fine)
        coarse.append(np.asarray(cv2.resize(texture, (SMALL, SMALL), interpolation=cv2.INTER_AREA), np.uint8))
        shares.append(skin_share(coarse[-1], seen.astype(np.float32), parts))
        mattes.append(cover)
    step = max(1, len(faces) // _BASIS)
    some = np.stack(coarse[::step]).astype(np.float32), np.stack(shares[::step])
    appearance = fitted_appearance(*(np.concatenate([a, a[:, :, ::-1]]) for a in some))
    try:
        for name in (TEXTURES, PICTURES):
            (folder / name).mkdir(parents=True, exist_ok=True)
        points, poses, shapes, kept = [], [], [], []
        for number, (face, share, cover) in enumerate(zip(faces, shares, mattes, strict=True)):
            image = _read(face.path)
            texture = cleaned(unwrapped(image, face.points, fine), share, appearance, parts)
            _write(folder / TEXTURES / f"{number:05d}.jpg", texture)
            picture, own, small_cover = _centred(image, cover, face.points)
            _write(folder / PICTURES / f"{number:05d}.jpg", picture)
            pose, shape = fit_pose(own, model)
            points.append(own)
            poses.append(packed_pose(pose))
            shapes.append(shape)
            kept.append((small_cover * 255 + 0.5).astype(np.uint8))
        arrays = {
            "points": np.stack(points),
            "poses": np.stack(poses),
            "shapes": np.stack(shapes),
            "mattes": np.stack(kept),
            "shares": (np.stack(shares) * 255 + 0.5).astype(np.uint8),
        }
        save_file(arrays, str(folder / ARRAYS))
        names = [str(face.path.relative_to(root)) for face in faces]
        (folder / NAMES).write_text(json.dumps({"names": names}), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: the set cannot be written ({error}).") from error


def _centred(image: Picture, cover: Floats, points: Floats) -> tuple[Picture, Floats, Floats]:
    """A square with the face in its middle, its mesh, and the person's matte at 128 pixels."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    side = _AROUND * float((high - low).max())
    size = int(min(_LARGEST, side))
    scale = size / side
    shrunk = min(1.0, scale * 1.3) if scale < 0.75 else 1.0
    first = cv2.resize(image, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA) if shrunk < 1 else image
    corner = (low + high) / 2 - side / 2
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REFLECT
    near = matrix @ np.diag([1 / shrunk, 1 / shrunk, 1.0])
    picture = cv2.warpAffine(first, near, (size, size), flags=flags, borderMode=border)
    coarse = matrix * (MATTE / size)
    matte = cv2.warpAffine(cover, coarse, (MATTE, MATTE), flags=cv2.INTER_AREA, borderMode=border)
    own = np.concatenate([points[:, :2] * scale + matrix[:, 2], points[:, 2:] * scale], 1).astype(np.float32)
    return np.asarray(picture, np.uint8), own, np.clip(matte, 0, 1)


def _read(path: Path) -> Picture:
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}).") from error
    if image is None:
        raise DatasetError(f"{path}: is no picture.")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _write(path: Path, image: Picture) -> None:
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _QUALITY)
    if not done:
        raise OutputError(f"{path}: cannot be encoded.")
    path.write_bytes(data.tobytes())
