"""How well a face embedding tells people apart: similarity of same and of different faces, and where to draw the line.

Same: portraits against themselves turned, scaled, relit and compressed; neighbouring frames of a video. Different: the
people of group photos, the portraits (AI-generated, many look alike), faces made small. The peer in the same run is
the embedding without landmarks, from the box alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from dp2.detect.faces.centerface import CenterFace
from dp2.faces.embedding import FaceEmbedder, FaceNet, MobileFaceNet
from dp2.types import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
GROUPS = ("regjeringen.jpg", "selfie_many_people.jpg", "multiface.jpg")  # faces of 58 to 133 pixels
TINY = ("g7_leaders.jpg", "city.jpg")  # 27 to 43, and 12 to 33 pixels, blurred
Numbers = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Faces:
    """One picture a face, with boxes (N, 4) and landmarks (N, 5, 2)."""

    images: list[Image]
    boxes: Numbers
    landmarks: Numbers

    def __add__(self, other: Faces) -> Faces:
        parts = ((self.boxes, other.boxes), (self.landmarks, other.landmarks))
        return Faces(self.images + other.images, *(np.concatenate(pair) for pair in parts))


def found(image: Image, *, largest: bool = False, threshold: float = 0.4) -> Faces:
    ((faces,),) = CENTERFACE([image])
    faces = faces[faces.scores > threshold]
    if largest and len(faces):
        faces = faces[int(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1).argmax())]
    return Faces([image] * len(faces), faces.boxes, faces.keypoints[:, :, :2])


def read(path: Path) -> Image:
    return np.asarray(PilImage.open(path).convert("RGB"))


def changed(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-12, 12), rng.uniform(0.6, 1.2))
    matrix[:, 2] += rng.uniform(-10, 10, 2)
    turned = cv2.warpAffine(image, matrix, (width, height)).astype(float)
    lit = np.clip(turned * rng.uniform(0.6, 1.35) + rng.uniform(-20, 20), 0, 255)
    curved = (255 * (lit / 255) ** rng.uniform(0.7, 1.4)).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", curved, [1, int(rng.integers(40, 90))])[1], 1)


def portraits(folder: Path) -> tuple[Faces, Faces]:
    """Each portrait, and the same one changed."""
    rng = np.random.default_rng(0)
    before, after = [], []
    for path in sorted(folder.glob("*.webp")):
        image = read(path)
        pair = found(image, largest=True), found(changed(image, rng), largest=True)
        if all(len(each.images) for each in pair):
            before.append(pair[0])
            after.append(pair[1])
    return sum(before[1:], before[0]), sum(after[1:], after[0])


def small(faces: Faces, width: float) -> Faces:
    """As if photographed with faces `width` pixels wide."""
    images, boxes, points = [], [], []
    for image, box, landmarks in zip(faces.images, faces.boxes, faces.landmarks, strict=True):
        factor = min(1.0, width / (box[2] - box[0]))
        images.append(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
        boxes.append(box * factor)
        points.append(landmarks * factor)
    return Faces(images, np.array(boxes), np.array(points))


def neighbours(video: Path, embed: FaceEmbedder) -> tuple[list[float], list[float]]:
    """Similarities of faces in the same place of neighbouring frames, and of those in one frame."""
    same: list[float] = []
    different: list[float] = []
    before: tuple[Numbers, Numbers] | None = None
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            faces = found(frame.to_ndarray(format="rgb24"))
            vectors, centres = embed(faces.images, faces.boxes, faces.landmarks), faces.boxes[:, :2]
            different += upper(vectors).tolist()
            if before is not None and len(before[0]) and len(vectors):
                gaps = np.linalg.norm(centres[:, None] - before[1], axis=2)
                near = gaps.min(axis=1) < 0.3 * (faces.boxes[:, 2] - faces.boxes[:, 0])
                same += (vectors * before[0][gaps.argmin(axis=1)]).sum(axis=1)[near].tolist()
            before = vectors, centres
    return same, different


def upper(vectors: Numbers) -> Numbers:
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def rows(embed: FaceEmbedder) -> Iterator[tuple[str, Sequence[float]]]:
    before, after = portraits(SHARED / "faces" / "portrait")
    people = [found(read(SHARED / "images" / name)) for name in GROUPS]
    together = sum(people[1:], people[0])

    def vectors(faces: Faces) -> Numbers:
        return embed(faces.images, faces.boxes, faces.landmarks)

    portrait = vectors(before)
    yield "same: portrait and changed portrait", (portrait * vectors(after)).sum(axis=1)
    boxed = embed(before.images, before.boxes), embed(after.images, after.boxes)
    yield "same, from the box alone", (boxed[0] * boxed[1]).sum(axis=1)
    group = vectors(people[0])
    for width in (60, 40, 30, 20):
        yield f"same: {GROUPS[0]} at {width} px", (group * vectors(small(people[0], width))).sum(axis=1)
    same, different = neighbours(SHARED / "videos" / "four_men_walking.mp4", embed)
    yield "same: neighbouring frames (24 px)", same
    yield "different: in one frame (24 px)", different
    yield "different: people of a photo", np.concatenate([upper(vectors(each)) for each in people])
    yield "different: people and portraits", (vectors(together) @ portrait.T).ravel()
    yield "different: portraits", upper(portrait)
    for name in TINY:
        yield f"different: {name}", upper(vectors(found(read(SHARED / "images" / name))))
    for width in (60, 40, 30, 20):
        yield f"different: {GROUPS[0]} at {width} px", upper(vectors(small(people[0], width)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=("mobilefacenet", "facenet"), default="mobilefacenet")
    parser.add_argument("--weights", help="a file, in place of the registry's")
    options = parser.parse_args()
    chosen = {"mobilefacenet": MobileFaceNet, "facenet": FaceNet}[options.network]
    embed = chosen(**({"weights": options.weights} if options.weights else {}))
    print(f"{embed.name}\n\n| pairs | n | 0.1 % | 1 % | median | 99 % | 99.9 % | above {embed.same_person:g} |")
    print("|---|---|---|---|---|---|---|---|")
    for name, values in rows(embed):
        low, few, middle, most, high = np.quantile(values, [0.001, 0.01, 0.5, 0.99, 0.999])
        above = np.mean(np.asarray(values) > embed.same_person)
        print(
            f"| {name} | {len(values)} | {low:.2f} | {few:.2f} | {middle:.2f} | {most:.2f} | {high:.2f} | {above:.2%} |"
        )


CENTERFACE = CenterFace(score_threshold=0.3)

if __name__ == "__main__":
    main()
