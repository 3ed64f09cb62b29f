"""How many labelled faces stay visible after dp2 and after deface, and how much of the pictures each changes.

A face leaks when less than 80 % of the pixels in the central half of its box differ between input and output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from labels import Boxes, Labelled, annotated, pseudo  # noqa: E402

from dp2 import load_anonymizer  # noqa: E402
from dp2.types import Detections, Frame, Image  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
SIZES = (12, 24, 48, 96, 192)  # lower ends of the bins, in pixels of the longer side
COVERED = 0.8

Tool = Callable[[Image], Image]


@dataclass
class Score:
    """What one tool did to all photos."""

    faces: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SIZES), np.int64))
    leaked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SIZES), np.int64))
    areas: list[float] = field(default_factory=list)

    def add(self, before: Image, after: Image, faces: Boxes) -> None:
        """Count the faces of at least `SIZES[0]` pixels of one photo."""
        changed = (before != after).any(axis=2)
        self.areas.append(float(changed.mean()))
        for box in faces:
            size = max(box[2] - box[0], box[3] - box[1])
            if size >= SIZES[0]:
                place = int(np.searchsorted(SIZES, size, side="right")) - 1
                self.faces[place] += 1
                self.leaked[place] += leaks(changed, box)


def leaks(changed: NDArray[np.bool_], box: NDArray[np.float32]) -> bool:
    """Whether a face stays visible.

    Args:
        changed: (H, W) which pixels of the photo differ.
        box: (4,) x0 y0 x1 y1.
    """
    heart = central_half(changed, box)
    return bool(heart.size and heart.mean() < COVERED)


def central_half(picture: NDArray[np.bool_], box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The part of a picture in the middle of a box, half as wide and half as high; at least a pixel."""
    x0, y0, x1, y1 = (float(value) for value in box)
    left, right = round(x0 + (x1 - x0) / 4), round(x1 - (x1 - x0) / 4)
    top, bottom = round(y0 + (y1 - y0) / 4), round(y1 - (y1 - y0) / 4)
    return picture[max(top, 0) : max(bottom, top + 1, 0), max(left, 0) : max(right, left + 1, 0)]


def deface() -> Tool:
    """With its defaults, as its command line calls its own functions."""
    from deface.centerface import CenterFace
    from deface.deface import anonymize_frame

    network = CenterFace(backend="opencv")

    def run(image: Image) -> Image:
        frame = image.copy()
        found, _ = network(frame, threshold=0.2)
        anonymize_frame(found, frame, 1.3, "blur", True, False, None, 20)
        return frame

    return run


def dp2(*overrides: str, config: str = "face_blur") -> Tool:
    anonymizer = load_anonymizer(config, *overrides)

    def run(image: Image) -> Image:
        return next(anonymizer.process([Frame(image)], track=False)).image

    return run


class Grid:
    """dp2 with several thresholds and masks, which share one detection of each photo.

    A face below a threshold never suppresses one above it, so leaving rows out equals detecting with that threshold.
    """

    def __init__(self, thresholds: Sequence[float]) -> None:
        self._loose = load_anonymizer("face_blur", f"detector.score_threshold={min(thresholds)}")
        self._last: tuple[Image, tuple[Detections, ...]] | None = None

    def tool(self, threshold: float, mask_scale: float) -> Tool:
        anonymizer = load_anonymizer("face_blur", f"synthesizer.mask_scale={mask_scale}")

        def detect(frames: Sequence[Frame]) -> list[tuple[Detections, ...]]:
            return [tuple(rows[rows.scores >= threshold] for rows in self._found(frame.image)) for frame in frames]

        def run(image: Image) -> Image:
            return next(anonymizer.process([Frame(image)], track=False, detect=detect)).image

        return run

    def _found(self, image: Image) -> tuple[Detections, ...]:
        if self._last is None or self._last[0] is not image:
            self._last = image, self._loose.detect(image)
        return self._last[1]


def tools(*, every: bool) -> dict[str, Tool]:
    named = {"deface, its defaults": deface(), "dp2 face_blur": dp2(), "dp2 face_tiny": dp2(config="face_tiny")}
    if every:
        named["dp2 face_blur, fp32"] = dp2("engine=openvino")
        named["dp2, one pass"] = dp2("detector.scales=[1.0]")
        thresholds = (0.3, 0.2, 0.15, 0.1)
        grid = Grid(thresholds)
        for threshold in thresholds:
            for scale in (1.2, 1.3, 1.45):
                named[f"dp2, threshold {threshold}, mask {scale}"] = grid.tool(threshold, scale)
    return named


def compare(photos: Iterable[Labelled], contestants: dict[str, Tool]) -> dict[str, Score]:
    scores = {name: Score() for name in contestants}
    for photo in photos:
        for name, tool in contestants.items():
            scores[name].add(photo.image, tool(photo.image), photo.faces)
    return scores


def show(title: str, scores: dict[str, Score]) -> None:
    first = next(iter(scores.values()))
    bins = [f"{low}–{high}" for low, high in zip(SIZES, (*SIZES[1:], ""), strict=True)]
    print(f"\n{title}: {first.faces.sum()} faces of {SIZES[0]} px and more on {len(first.areas)} pictures\n")
    print("| leaked, by longer side in px |", " | ".join(bins), "| all | % | changed area |")
    print("|---" * (len(bins) + 4) + "|")
    print("| faces |", " | ".join(map(str, first.faces)), f"| {first.faces.sum()} | | |")
    for name, score in scores.items():
        share = 100 * score.leaked.sum() / max(1, score.faces.sum())
        print(f"| {name} |", " | ".join(map(str, score.leaked)), end=" ")
        print(f"| {score.leaked.sum()} | {share:.2f} | {100 * np.mean(score.areas):.1f} % |", flush=True)


def pseudo_set(sheets: int) -> Iterable[Labelled]:
    photos = sorted((DATA / "images").glob("*.jpg")) or [
        ROOT / "media" / f"{name}.jpg" for name in ("astronaut", "grace_hopper", "group")
    ]
    return pseudo(photos, sorted((DATA / "faces" / "portrait").glob("*.webp"))[: 12 * sheets])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="photos with VOC XML or COCO JSON labels")
    parser.add_argument("--pseudo", action="store_true", help="also pseudo-labelled, rescaled photos and portraits")
    parser.add_argument("--sheets", type=int, default=16, help="of 12 portraits each in the pseudo-labelled set")
    parser.add_argument("--try", dest="every", action="store_true", help="also other thresholds and mask sizes of dp2")
    options = parser.parse_args(arguments)
    folder = options.folder or (DATA / "people" if (DATA / "people").is_dir() else None)
    contestants = tools(every=options.every)
    if folder is not None:
        show(f"{folder}, its labels", compare(annotated(folder), contestants))
    if options.pseudo or folder is None:
        title = "Pseudo-labels (union of CenterFace fp32 at 0.5 and MTCNN at 0.95, before rescaling)"
        show(title, compare(pseudo_set(options.sheets), contestants))


if __name__ == "__main__":
    main()
