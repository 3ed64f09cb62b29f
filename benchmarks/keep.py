"""How surely the keep-list knows people: false keeps and false anonymizations over the distance, and as a picture.

Every clear face of the photos is put on the list by itself, from crops of other sizes and brightness, and all photos
are anonymized. A face kept although it is not the listed one is kept by mistake; the listed one changed is anonymized
by mistake. With `--portraits N` so many generated portraits are strangers too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.choose.evidence import NOBODY, Limits, Piece, settle
from dp2.choose.matching import ClearFace, Matching, clear_faces, embed, is_clear
from dp2.config import build, load_config
from dp2.source.image import read_image
from dp2.types import Detections, Image

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
# How a reference differs from the photo: factor of size, of brightness, added brightness, sigma of noise
REFERENCES = ((0.7, 0.6, 0, 0), (1.5, 1.3, 10, 0), (0.5, 0.9, 20, 4), (1.0, 1.0, 0, 12))
DISTANCES = np.round(np.arange(0.5, 1.41, 0.05), 2)


@dataclass(frozen=True)
class Photo:
    """A picture with its faces: all detections, the clear rows among them and their vectors."""

    name: str
    image: Image
    faces: Detections
    rows: list[int]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Counts:
    """Of one distance, over all listed faces.

    Attributes:
        lists: number of lists (one face, one reference).
        strangers, mistaken: faces that were not on the list, and those of them that were kept.
        missed: lists whose face was changed.
    """

    lists: int
    strangers: int
    mistaken: int
    missed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--matching", default="mobilefacenet", help="config in configs/matching (default mobilefacenet)"
    )
    parser.add_argument(
        "--portraits", type=int, default=200, help="generated portraits beside the photos (default 200)"
    )
    parser.add_argument("--plot", type=Path, help="write the curves there, as PNG")
    options = parser.parse_args()
    os.environ.setdefault("DP2_WEIGHTS", str(DATA / "weights"))
    tree = load_config(f"matching/{options.matching}")
    tree.device, tree.engine = "cpu", "auto"
    matching = build(tree.matching)
    portraits = sorted((DATA / "faces" / "portrait").glob("*.webp"))[: options.portraits]
    photos = [read(path, matching) for path in [*sorted((DATA / "images").glob("*.jpg")), *portraits]]
    print(f"{len(photos)} pictures, {sum(len(photo.faces) for photo in photos)} faces found,", end=" ")
    print(f"{sum(len(photo.rows) for photo in photos)} of them clear")
    lists = list(references(photos[: len(photos) - len(portraits)], matching))
    print(f"{len(lists)} references of the clear faces in {len(photos) - len(portraits)} photos\n")
    nearest(photos)
    print("| distance | kept by mistake | of strangers | anonymized by mistake | of listed |\n|---|---|---|---|---|")
    table = [(distance, swept(photos, lists, matching, float(distance))) for distance in DISTANCES]
    for distance, counts in table:
        print(f"| {distance:.2f} | {counts.mistaken} | {counts.strangers} | {counts.missed} | {counts.lists} |")
    if options.plot is not None:
        plot(table, matching, options.plot)


def read(path: Path, matching: Matching) -> Photo:
    image = read_image(path).image
    ((faces,),) = matching.faces([image])
    found = faces.confirmed
    clear = clear_faces(matching, image, found, range(len(found)))
    return Photo(path.name, image, found, [face.row for face in clear], embed(matching, image, clear))


def references(photos: Sequence[Photo], matching: Matching) -> Iterator[tuple[Photo, int, NDArray[np.float32]]]:
    """Photo, row and vector (1, channels) of each reference that is clear."""
    random = np.random.default_rng(0)
    for photo in photos:
        for row in photo.rows:
            for settings in REFERENCES:
                crop = altered(photo.image, photo.faces.boxes[row], settings, random)
                ((faces,),) = matching.faces([crop])
                middle = np.array([crop.shape[1], crop.shape[0]]) / 2
                if not len(faces) or faces.keypoints is None:
                    continue
                centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
                nearest = int(np.linalg.norm(centres - middle, axis=1).argmin())
                face = ClearFace(nearest, faces.boxes[nearest], faces.keypoints[nearest, :, :2])
                if faces.scores[nearest] >= matching.min_score and is_clear(matching, crop, face):
                    yield photo, row, embed(matching, crop, [face])


def altered(image: Image, box: NDArray[np.float32], settings: Sequence[float], random: np.random.Generator) -> Image:
    """A crop around a face at another size and brightness, with noise."""
    scale, gain, lift, noise = settings
    x0, y0, x1, y1 = box
    margin = 0.5 * max(x1 - x0, y1 - y0)
    height, width = image.shape[:2]
    left, top = int(max(x0 - margin, 0)), int(max(y0 - margin, 0))
    crop = image[top : int(min(y1 + margin, height)), left : int(min(x1 + margin, width))]
    sized = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    changed = sized * gain + lift + random.normal(0, max(noise, 1e-9), sized.shape)
    return np.ascontiguousarray(np.clip(changed, 0, 255).astype(np.uint8))


def swept(
    photos: Sequence[Photo],
    lists: Sequence[tuple[Photo, int, NDArray[np.float32]]],
    matching: Matching,
    distance: float,
) -> Counts:
    """What a list of one person does at a distance."""
    limits = Limits(distance, distance + matching.doubt, 1, matching.margin, exclusive=True)
    strangers = mistaken = missed = 0
    for own, listed, reference in lists:
        missed += 1
        for photo in photos:
            kept = kept_rows(photo, reference, limits)
            strangers += len(photo.faces) - (photo is own)
            missed -= photo is own and listed in kept
            mistaken += len(kept - ({listed} if photo is own else set()))
    return Counts(len(lists), strangers, mistaken, missed)


def kept_rows(photo: Photo, reference: NDArray[np.float32], limits: Limits) -> set[int]:
    if not len(photo.vectors):
        return set()
    apart = np.sqrt(np.clip(2 - 2 * photo.vectors @ reference[0], 0, None)).astype(np.float32)
    pieces = []
    for row in np.flatnonzero(apart <= limits.doubtful):  # what is further away is nobody, whoever else is there
        pieces.append(Piece(photo.rows[row], 0, 0, True, np.zeros(1, bool)))
        pieces[-1].add(0, apart[row : row + 1], limits)
    settle(pieces, limits)
    return {piece.track for piece in pieces if piece.person != NOBODY}


def nearest(photos: Sequence[Photo]) -> None:
    """The pairs of different clear faces that look most alike."""
    vectors = np.concatenate([photo.vectors for photo in photos])
    names = [
        f"{photo.name} {np.round(photo.faces.boxes[row, :2]).astype(int)}" for photo in photos for row in photo.rows
    ]
    apart = np.sqrt(np.clip(2 - 2 * vectors @ vectors.T, 0, None))
    rows, columns = np.triu_indices(len(vectors), 1)
    order = np.argsort(apart[rows, columns])[:5]
    print(f"{len(rows)} pairs of clear faces; the nearest:")
    for first, second in zip(rows[order], columns[order], strict=True):
        print(f"  {apart[first, second]:.2f}  {names[first]} and {names[second]}")
    print()


def plot(table: Sequence[tuple[float, Counts]], matching: Matching, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=110)
    x = [distance for distance, _ in table]
    axes.plot(x, [100 * counts.missed / counts.lists for _, counts in table], "o-", label="listed people anonymized")
    axes.plot(x, [100 * counts.mistaken / counts.lists for _, counts in table], "s-", label="strangers kept, per list")
    axes.axvline(matching.distance, color="grey", linestyle="--", label=f"default {matching.distance:g}")
    axes.set(xlabel="--keep-distance", ylabel="%", ylim=(-2, 102))
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
