"""What the new faces of `face_tiny` are worth: taken for faces by other detectors, and strangers to those they replace.

    python benchmarks/new_faces.py [PHOTOS...] [--generator CONFIG]

Similarities are cosines of MobileFaceNet. "Same" are two pictures of one face (scaled, darkened, compressed); "others"
are different people. An attacker who knows only the faces wants `new and old` above `others`: AUC 0.5 is a stranger,
1 the same person. It is given for strangers anywhere, and for strangers in the same pose and light: the new face of one
person beside the old one of another ("swapped"), whose hole and landmarks did not matter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dp2 import Anonymizer, load_anonymizer  # noqa: E402
from dp2.config import build, load_config  # noqa: E402
from dp2.faces.embedding import MobileFaceNet  # noqa: E402
from dp2.stages import Detector  # noqa: E402
from dp2.types import FACE, Detections, Image  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
LARGE = 40  # pixels: from smaller faces nobody can be told by an embedding
OVERLAP = 0.4
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Photo:
    """A picture before and after, and its sure faces: whether each was painted (or else redacted)."""

    before: Image
    after: Image
    other: Image  # with another seed
    faces: Detections
    painted: NDArray[np.bool_]


def anonymized(path: Path, first: Anonymizer, second: Anonymizer) -> Photo:
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    results = [each.anonymize(image) for each in (first, second)]
    faces = next(found for found in results[0].detections if found.kind == FACE)
    # The same detector, all faces by the fallback: what equals it was not painted.
    classic = replace(first, synthesizers={})(image)
    redacted = [_same_hole(results[0].image, classic, box) for box in faces.boxes]
    return Photo(image, results[0].image, results[1].image, faces, ~np.array(redacted, bool).reshape(-1))


def _same_hole(one: Image, other: Image, box: Floats) -> bool:
    x, y = ((box[:2] + box[2:]) / 2).astype(int)
    half = max(1, int((box[2] - box[0]) / 6))
    window = np.s_[max(0, y - half) : y + half, max(0, x - half) : x + half]
    return bool((np.abs(one[window].astype(int) - other[window]).mean()) < 1)


def found_again(detector: Detector, image: Image, boxes: Floats) -> NDArray[np.bool_]:
    """Which boxes a detector finds a face at."""
    found = next(one for one in detector([image])[0] if one.kind == FACE)
    return np.array([any(_iou(box, other) >= OVERLAP for other in found.boxes) for box in boxes], bool).reshape(-1)


def _iou(box: Floats, other: Floats) -> float:
    sides = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
    common = float(sides.prod())
    return common / (float((box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod()) - common)


def auc(higher: Floats, lower: Floats) -> float:
    """The probability that a value of the first is above one of the second."""
    order = np.searchsorted(np.sort(lower), higher)
    return float(order.mean() / len(lower))


def varied(image: Image) -> tuple[Image, float]:
    """Another picture of the same: smaller, darker, compressed; and its scale."""
    scale = 0.7
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", (small * 0.75).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR), scale


def identities(photos: Sequence[Photo], embed: MobileFaceNet) -> None:
    rows: dict[str, list[Floats]] = {"old": [], "new": [], "other": [], "same": []}
    for photo in photos:
        faces = photo.faces
        large = photo.painted & ((faces.boxes[:, 2:] - faces.boxes[:, :2]).max(1) >= LARGE)
        if not large.any():
            continue
        chosen = faces[large]
        points = chosen.keypoints[:, :, :2]
        again, scale = varied(photo.before)
        for name, image, factor in (
            ("old", photo.before, 1.0),
            ("new", photo.after, 1.0),
            ("other", photo.other, 1.0),
            ("same", again, scale),
        ):
            rows[name].append(embed([image] * len(chosen), chosen.boxes * factor, points * factor))
    old, new, other, same = (np.concatenate(rows[name]) for name in ("old", "new", "other", "same"))
    off = ~np.eye(len(old), dtype=bool)
    values = {
        "same person, two pictures": (old * same).sum(1),
        "different people, old and old": (old @ old.T)[off],
        "new and the old one it replaced": (old * new).sum(1),
        "new and old of different people (swapped)": (old @ new.T)[off],
        "new and new of one place, two seeds": (new * other).sum(1),
        "new and new of different people": (new @ new.T)[off],
    }
    print(f"\nIdentities: {len(old)} faces of {LARGE} px and more\n")
    print("| pairs | n | mean | 5 % | 95 % |\n|---|---|---|---|---|")
    for name, value in values.items():
        low, high = np.percentile(value, [5, 95])
        print(f"| {name} | {len(value)} | {value.mean():.2f} | {low:.2f} | {high:.2f} |")
    strangers = values["different people, old and old"]
    own, swapped = values["new and the old one it replaced"], values["new and old of different people (swapped)"]
    print(f"\nAUC of same against different: {auc(values['same person, two pictures'], strangers):.3f}")
    print(f"AUC of new-and-old against different: {auc(own, strangers):.3f}; against swapped: {auc(own, swapped):.3f}")
    rank = [(old @ new[place] > old[place] @ new[place]).sum() for place in range(len(new))]
    first = float(np.mean(np.array(rank) == 0))
    print(f"The old face is the most alike of all {len(old)} for {100 * first:.1f} % (chance: {100 / len(old):.1f} %).")


def detections(photos: Sequence[Photo]) -> None:
    detectors = load_config(ROOT / "configs" / "anonymizers" / "_face.py")
    painted = sum(int(photo.painted.sum()) for photo in photos)
    total = sum(len(photo.faces) for photo in photos)
    print(f"\n{total} regions on {len(photos)} pictures, {painted} painted, {total - painted} redacted\n")
    print("| detector | finds the old | finds the new |\n|---|---|---|")
    for name in ("yunet", "retinaface_mobilenet"):
        detectors.device = "cpu"
        detectors.engine = "auto"
        detector = build(detectors.detectors[name])
        before = after = 0
        for photo in photos:
            boxes = photo.faces.boxes[photo.painted]
            before += int(found_again(detector, photo.before, boxes).sum())
            after += int(found_again(detector, photo.after, boxes).sum())
        print(f"| {name} | {before / painted:.3f} | {after / painted:.3f} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="*", help="default: ../shared/data/images, else media/")
    parser.add_argument("--generator", default="configs/fdf/tiny128.py", help="config of the generator")
    options = parser.parse_args(arguments)
    paths = options.photos or sorted((DATA / "images").glob("*.jpg")) or sorted((ROOT / "media").glob("*.jpg"))
    size = load_config(options.generator).data.resolution
    words = (f"synthesizer.generator={options.generator}", f"synthesizer.crop.size={list(size)}")
    pair = [load_anonymizer("face_tiny", *words, seed=seed) for seed in (0, 1)]
    photos = [anonymized(path, *pair) for path in paths]
    photos = [photo for photo in photos if len(photo.faces)]
    detections(photos)
    identities(photos, MobileFaceNet())


if __name__ == "__main__":
    main()
