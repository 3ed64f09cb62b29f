"""An annotation of COCO as a record of `dp2.detections.records`: boxes, polygons, run lengths, keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.detections.records import decode_mask, encode_mask

_FARTHEST = 1e5  # pixels; a corner beyond it is no corner of a picture
_SHIFT = 4  # bits of a pixel's fractions in OpenCV's polygons


def rows_of(row: Mapping[str, Any], height: int, width: int) -> dict[str, Any]:
    """Everything of an annotation but its kind.

    Args:
        row: of a COCO file's `annotations`.
        height, width: of the frame.

    Raises:
        ValueError, TypeError, KeyError: it is malformed; `from_records` checks the rest.
    """
    record: dict[str, Any] = {"score": row.get("score", 1.0)}
    segmentation = row.get("segmentation")
    if segmentation:
        mask = _mask(segmentation, height, width)
        record["mask"] = encode_mask(mask)
        record["box"] = _box(row["bbox"]) if "bbox" in row else _around(mask)
    else:
        record["box"] = _box(row["bbox"])
    if row.get("keypoints") and row.get("num_keypoints", 1):
        record["keypoints"] = _keypoints(row["keypoints"], row.get("keypoint_scores"))
    names = {"track_id": "track", "origin": "origin", "surface": "surface"}
    return record | {names[name]: row[name] for name in names if row.get(name) is not None}


def decode_counts(text: str) -> list[int]:
    """COCO's compressed run lengths: numbers in base 32, lowest digit first, from the third on as differences.

    Each character holds five bits and whether more follow (maskApi of pycocotools, `rleFrString`).

    Raises:
        ValueError: the text is cut off, or holds other characters.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 40:
            raise ValueError("run lengths in no text of COCO's")
        value |= (digit & 0x1F) << shift
        shift += 5
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths are cut off")
    return counts


def _mask(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) bool."""
    if isinstance(segmentation, Mapping):
        counts = segmentation["counts"]
        whole = decode_counts(counts) if isinstance(counts, str) else counts
        return decode_mask({"size": segmentation["size"], "counts": whole}, height, width)
    import cv2

    canvas = np.zeros((height, width), np.uint8)
    for polygon in segmentation:
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        if len(corners) < 3 or not (np.abs(corners) <= _FARTHEST).all():
            raise ValueError("a polygon needs three corners, none of them far outside")
        # Continuous coordinates: the first pixel's centre is 0.5. OpenCV fills the pixels on the edge as well.
        fixed = np.rint((corners - 0.5) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(canvas, [fixed], 1, shift=_SHIFT)
    return canvas.astype(np.bool_)


def _box(given: Sequence[float]) -> list[float]:
    x, y, width, height = (float(value) for value in given)
    if width < 0 or height < 0:
        raise ValueError("a bbox is [x, y, width, height]")
    return [x, y, x + width, y + height]


def _around(mask: NDArray[np.bool_]) -> list[float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("neither a bbox nor a pixel in the segmentation")
    return [float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)]


def _keypoints(given: Sequence[float], scores: Sequence[float] | None) -> list[list[float]]:
    """Rows x, y, confidence; without scores what is labelled is sure."""
    points = np.asarray(given, np.float64).reshape(-1, 3)
    confidence = (points[:, 2] > 0).astype(np.float64) if scores is None else np.asarray(scores, np.float64)
    if confidence.shape != (len(points),):
        raise ValueError("not one keypoint score for each keypoint")
    rows: list[list[float]] = np.column_stack([points[:, :2], confidence]).tolist()
    return rows
