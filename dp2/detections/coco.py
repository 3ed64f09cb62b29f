"""COCO's JSON: annotations and results of other programs read in place of a detector, and detections written so.

An image is found by its `file_name`; frames of a video are images of one `file_name` with a number under `frame`. An
image that is listed without annotations shows nobody. What COCO has no name for stands beside it: `score`, `track_id`,
`origin`, `keypoint_scores` and `surface`, as in `records`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from dp2.detections.coco_names import kind_of
from dp2.detections.coco_shapes import rows_of
from dp2.detections.records import from_records, to_records
from dp2.detections.stored import check_place, medium_of
from dp2.errors import DetectionFileError
from dp2.types import Detections, Frame


class CocoDetections:
    """A file of COCO annotations, looked up as `dp2.detections.stored.StoredDetections`. It is held in memory.

    Categories that are people, faces, vehicles and plates become those kinds, COCO's other things are left out, and
    names that COCO does not know stay kinds of their own, which are covered.

    Raises:
        DetectionFileError: it cannot be read, or is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = _read(path)
        try:
            kinds = {_id(row, "id"): kind_of(str(row["name"])) for row in content["categories"]}
            self._images: dict[tuple[str, int], Mapping[str, Any]] = {}
            self._rows: dict[int, list[tuple[str, Mapping[str, Any]]]] = {}
            self.kinds: set[str] = set()  # of what the file holds
            for image in content["images"]:
                self._add_image(image)
            for row in content["annotations"]:
                kind = kinds[_id(row, "category_id")]
                rows = self._rows[_id(row, "image_id")]
                if kind is not None:
                    rows.append((kind, row))
                    self.kinds.add(kind)
        except KeyError as error:
            raise DetectionFileError(f"{path}: no COCO file, or a row of it refers to nothing: {error}.") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise DetectionFileError(f"{path}: a row is malformed ({error}).") from error

    def _add_image(self, image: Mapping[str, Any]) -> None:
        key, number = (str(image["file_name"]), int(image.get("frame", 0))), _id(image, "id")
        if key in self._images or number in self._rows:
            raise ValueError(f"image {number}, frame {key[1]} of {key[0]}, is there twice")
        self._images[key] = image
        self._rows[number] = []

    def resolve(self, path: Path) -> str:
        """The name under which the file knows an input.

        Raises:
            DetectionFileError: it does not know it, or several of that name.
        """
        return medium_of(path, list(dict.fromkeys(name for name, _ in self._images)), self.path)

    def lookup(self, medium: str, frame: Frame, kinds: Sequence[str]) -> tuple[Detections, ...]:
        """The detections of one frame.

        Raises:
            DetectionFileError: the frame is not listed, is of another size or time, or an annotation is malformed.
        """
        height, width = frame.image.shape[:2]
        image = self._images.get((medium, frame.index))
        if image is None:
            raise DetectionFileError(
                f"{self.path}: no image for frame {frame.index} of {medium}; list it to say nobody."
            )
        where = f"{self.path}, frame {frame.index} of {medium}"
        check_place(image, frame, where)
        records = []
        for kind, row in self._rows[_id(image, "id")]:
            try:
                records.append({"kind": kind, **rows_of(row, height, width)})
            except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
                raise DetectionFileError(
                    f"{where}: annotation {row.get('id')!r:.20} is malformed ({error})."
                ) from error
        return from_records(records, kinds, height, width, where)

    def close(self) -> None:
        """Nothing is open."""


class CocoWriter:
    """Writes frames into an open text file as one JSON object; `finish` completes it."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._images: list[dict[str, Any]] = []
        self._categories: dict[str, int] = {}
        self._rows = 0
        self._file.write('{"annotations": [')

    def write(self, media: str, frame: Frame, detections: Sequence[Detections]) -> None:
        """One image, and an annotation for each detection."""
        height, width = frame.image.shape[:2]
        number = len(self._images) + 1
        self._images.append(
            {"id": number, "file_name": media, "width": width, "height": height}
            | {"frame": frame.index, "time": round(float(frame.time), 6)}
        )
        for record in to_records(detections):
            category = self._categories.setdefault(record["kind"], len(self._categories) + 1)
            self._rows += 1
            row = {"id": self._rows, "image_id": number, "category_id": category, **_annotation(record)}
            self._file.write(("" if self._rows == 1 else ",") + "\n" + json.dumps(row))

    def finish(self) -> None:
        """The images and categories, which are known only now."""
        categories = [{"id": number, "name": kind} for kind, number in self._categories.items()]
        rest = json.dumps({"images": self._images, "categories": categories})
        self._file.write("\n], " + rest[1:] + "\n")


def _annotation(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of `to_records` under COCO's names."""
    x0, y0, x1, y1 = record["box"]
    row: dict[str, Any] = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
    row["score"] = record["score"]
    if "mask" in record:
        row["segmentation"] = record["mask"]
        row["area"] = sum(record["mask"]["counts"][1::2])
    if "keypoints" in record:
        points = record["keypoints"]
        row["keypoints"] = [value for x, y, seen in points for value in (x, y, 2 if seen > 0 else 0)]
        row["num_keypoints"] = sum(seen > 0 for *_, seen in points)
        row["keypoint_scores"] = [seen for *_, seen in points]
    names = {"track": "track_id", "origin": "origin", "surface": "surface"}
    return row | {names[name]: record[name] for name in names if name in record}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DetectionFileError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise DetectionFileError(f"{path}: is not JSON ({error}).") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), list) for name in ("images", "annotations", "categories")
    ):
        raise DetectionFileError(f"{path}: a COCO file has lists of images, annotations and categories.")
    return content


def _id(row: Mapping[str, Any], name: str) -> int:
    value = row[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} {value!r:.20} is no whole number")
    return value
