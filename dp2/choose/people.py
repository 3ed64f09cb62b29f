"""People as they are shown in reference pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dp2.choose.matching import ClearFace, Matching, Vectors, embed, is_clear
from dp2.errors import UsageError
from dp2.source.image import read_image
from dp2.source.sniff import is_image
from dp2.types import FACE, Detections, Image

_BACKGROUND = 0.25  # of the largest face's side: what is smaller is nobody that a reference picture is of


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Somebody on a list.

    Attributes:
        name: of the picture or folder.
        vectors: (R, channels) float32 of length 1, one a reference picture.
    """

    name: str
    vectors: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """All who are on a list."""

    persons: tuple[Person, ...]

    def distances(self, vectors: Vectors) -> NDArray[np.float32]:
        """(N, P) float32: from each of (N, channels) faces to the nearest reference picture of each person."""
        likeness = np.stack([(vectors @ person.vectors.T).max(axis=1) for person in self.persons], axis=1)
        distances: NDArray[np.float32] = np.sqrt(np.clip(2 - 2 * likeness, 0, None)).astype(np.float32)
        return distances


def load_people(paths: Sequence[str | os.PathLike[str]], matching: Matching) -> People:
    """Read reference pictures.

    Args:
        paths: pictures, each of one person; or folders: every picture in it is one person, every folder in it is one
            person in several pictures.
        matching: how faces are found and compared.

    Raises:
        UsageError: a path is missing or holds no pictures; a picture shows nobody, several people, or nobody clearly;
            the pictures of one folder show different people.
        MediaError: a picture cannot be read.
    """
    persons = []
    for path in map(Path, paths):
        if path.is_dir():
            persons += _folder(path, matching)
        elif path.is_file():
            persons.append(Person(path.stem, _only(path, matching)))
        else:
            raise UsageError(f"{path}: there is no such picture or folder of people.")
    return People(tuple(persons))


def _folder(folder: Path, matching: Matching) -> list[Person]:
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    persons = [Person(path.stem, _only(path, matching)) for path in inside if path.is_file() and is_image(path)]
    persons += [_several(path, matching) for path in inside if path.is_dir()]
    if not persons:
        raise UsageError(f"{folder}: holds no pictures of people.")
    return persons


def _several(folder: Path, matching: Matching) -> Person:
    """One person in several pictures; among others in a picture, he is known by those that show him alone."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and is_image(path))
    if not paths:
        raise UsageError(f"{folder}: holds no pictures of people.")
    found = [(path, *_faces(path, matching)) for path in paths]
    alone = [(path, vectors) for path, vectors, shown in found if shown == 1]
    if not alone:
        raise UsageError(f"{folder}: no picture shows one person alone; crop one so that it does.")
    base = np.concatenate([vectors for _, vectors in alone])
    for (path, _), row in zip(alone[1:], base[1:], strict=True):
        if np.linalg.norm(row - base[0]) > matching.veto:
            raise UsageError(f"{folder}: {alone[0][0].name} and {path.name} show different people.")
    own = [base]
    for path, vectors, shown in found:
        if shown > 1:
            far = np.linalg.norm(vectors[:, None] - base[None], axis=2).min(axis=1)
            near = np.flatnonzero(far <= matching.distance)
            if len(near) != 1:
                raise UsageError(f"{path}: it is not clear which of {shown} people is {folder.name}; crop it.")
            own.append(vectors[near])
    return Person(folder.name, np.concatenate(own))


def _only(path: Path, matching: Matching) -> Vectors:
    """(1, channels) of the one face in a picture."""
    vectors, shown = _faces(path, matching)
    if shown != 1:
        raise UsageError(
            f"{path}: shows {shown} faces; a reference picture shows one person. Crop it, or put several "
            "pictures of one person into a folder of their own."
        )
    return vectors


def _faces(path: Path, matching: Matching) -> tuple[Vectors, int]:
    """(N, channels), N ≥ 1: the clear faces in the foreground of a picture; and how many there are, clear or not."""
    image = read_image(path).image
    faces = _foreground(matching, image)
    if not len(faces):
        raise UsageError(f"{path}: no face was found in this reference picture.")
    points = faces.keypoints
    if points is None or points.shape[1] != 5:
        raise UsageError("the keep-list's own face detector gives no 5 landmarks.")
    listed = [ClearFace(row, faces.boxes[row], points[row, :, :2]) for row in range(len(faces))]
    clear = [face for face in listed if is_clear(matching, image, face)]
    if not clear:
        raise UsageError(f"{path}: the face is too small, too blurred, cut off or turned away to be a reference.")
    return embed(matching, image, clear), len(faces)


def _foreground(matching: Matching, image: Image) -> Detections:
    (parts,) = matching.faces([image])
    faces = next(part for part in parts if part.kind == FACE).confirmed
    faces = faces[faces.scores >= matching.min_score]
    sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1, initial=0)
    return faces[sides >= _BACKGROUND * sides.max(initial=0)]
