"""Photos with labelled faces: from annotations beside them, or pseudo-labels on rescaled photos and portraits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import joined
from dp2.detect.combine.multiscale import MultiScale
from dp2.detect.faces.centerface import CenterFace
from dp2.detect.faces.mtcnn import MTCNN
from dp2.geometry.nms import suppress
from dp2.types import Image

Boxes = NDArray[np.float32]  # (N, 4) x0 y0 x1 y1
_PHOTO_FACTORS = (0.35, 0.5, 0.7, 1.0, 1.5, 2.0)
_SHEET_FACTORS = (0.125, 0.25, 0.5, 1.0)
_LARGE_FACTORS = (3.0, 5.0)
_SHEET = (4, 3)  # portraits across and down


@dataclass(frozen=True, eq=False)
class Labelled:
    """A photo (H, W, 3) uint8 RGB and where its faces are."""

    name: str
    image: Image
    faces: Boxes

    def scaled(self, factor: float) -> Labelled:
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        image = cv2.resize(self.image, None, fx=factor, fy=factor, interpolation=interpolation)
        return Labelled(f"{self.name} x{factor:g}", image, self.faces * np.float32(factor))


def annotated(folder: Path) -> Iterator[Labelled]:
    """Photos of a folder with the faces named in VOC XML or COCO JSON files anywhere inside it.

    Of a COCO file these count: `face_box` where `face_valid` (COCO-WholeBody), and boxes of categories called face.
    """
    faces: dict[Path, list[Sequence[float]]] = {}
    for path in sorted(folder.rglob("*.json")):
        for photo, boxes in _coco(json.loads(path.read_text(encoding="utf-8"))).items():
            faces.setdefault(_find(folder, path.parent, photo), []).extend(boxes)
    for path in sorted(folder.rglob("*.xml")):
        photo, boxes = _voc(ElementTree.parse(path).getroot(), path)
        faces.setdefault(_find(folder, path.parent, photo), []).extend(boxes)
    for path, boxes in sorted(faces.items()):
        if boxes:
            yield Labelled(path.name, read(path), np.array(boxes, np.float32))


def pseudo(photos: Sequence[Path], portraits: Sequence[Path]) -> Iterator[Labelled]:
    """Rescaled photos, sheets of portraits and single large ones; labels found by strict detectors before rescaling."""
    strict = _Strict()
    for path in photos:
        labelled = strict.label(path.name, read(path))
        for factor in _PHOTO_FACTORS:
            if factor * max(labelled.image.shape) <= 1920:
                yield labelled.scaled(factor)
    sheet = _SHEET[0] * _SHEET[1]
    for start in range(0, len(portraits) - sheet + 1, sheet):
        singles = [read(path) for path in portraits[start : start + sheet]]
        rows = [np.hstack(singles[i : i + _SHEET[0]]) for i in range(0, sheet, _SHEET[0])]
        labelled = strict.label(f"portraits {start}", np.vstack(rows))
        for factor in _SHEET_FACTORS:
            yield labelled.scaled(factor)
        single = strict.label(portraits[start].name, singles[0])
        for factor in _LARGE_FACTORS:
            yield single.scaled(factor)


class _Strict:
    """The union of CenterFace at 0.5, in fp32 and three passes, and of MTCNN at 0.95."""

    def __init__(self) -> None:
        sharp = CenterFace(score_threshold=0.5, engine="openvino")
        self._detectors = (
            MultiScale(sharp, scales=(2.0, 1.0, 0.5), score_threshold=0.5),
            MTCNN(min_size=20, thresholds=(0.6, 0.7, 0.95), score_threshold=0.95, device="cpu"),
        )

    def label(self, name: str, image: Image) -> Labelled:
        found = [detector([image])[0][0] for detector in self._detectors]
        return Labelled(name, image, suppress(joined(found), 0.3).boxes)


def read(path: Path) -> Image:
    """(H, W, 3) uint8 RGB.

    Raises:
        SystemExit: the file cannot be read.
    """
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path}: cannot be read as a photo.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _coco(data: object) -> dict[str, list[Sequence[float]]]:
    if not isinstance(data, dict) or not {"images", "annotations"} <= data.keys():
        return {}
    names = {image["id"]: image["file_name"] for image in data["images"]}
    kinds = {kind["id"] for kind in data.get("categories", ()) if "face" in kind["name"].lower()}
    faces: dict[str, list[Sequence[float]]] = {}
    for row in data["annotations"]:
        box = row["face_box"] if row.get("face_valid") else row["bbox"] if row.get("category_id") in kinds else None
        if box is not None:
            x, y, width, height = box
            faces.setdefault(names[row["image_id"]], []).append((x, y, x + width, y + height))
    return faces


def _voc(root: ElementTree.Element, path: Path) -> tuple[str, list[Sequence[float]]]:
    boxes = []
    for thing in root.iter("object"):
        box = thing.find("bndbox")
        if box is not None and "face" in thing.findtext("name", "").lower():
            boxes.append([float(box.findtext(side, "nan")) for side in ("xmin", "ymin", "xmax", "ymax")])
    return root.findtext("filename", f"{path.stem}.jpg"), boxes


def _find(folder: Path, near: Path, name: str) -> Path:
    if (near / name).exists():
        return near / name
    found = next(folder.rglob(Path(name).name), None)
    if found is None:
        raise SystemExit(f"{folder}: {name} is labelled but not there.")
    return found
