"""Detections as JSON: what the cache, `--save-detections` and `--detections` read and write.

One line a frame:

    {"media": "street.mp4", "frame": 17, "time": 0.68, "width": 1280, "height": 720, "detections": [
        {"kind": "face", "box": [x0, y0, x1, y1], "score": 0.91, "track": 3, "origin": "filled",
         "keypoints": [[x, y, confidence], …], "mask": {"size": [H, W], "counts": [n, …]}, "surface": {…},
         "steady": {"box": …, "score": …, "keypoints": …}}]}

`kind` and `box` are required, the rest may be left out. Masks are COCO's uncompressed run lengths (column by column,
beginning with background). Surfaces are exact, and with that the largest part of a file, near 1 MB a body:
{"size": [E + 1, S, S], "box": [x0, y0, x1, y1], "zlib": text}, where the text is base64 of zlib-packed little-endian
float32, all their lowest bytes first, then the next ones; without "box" it is the body's.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import DetectionFileError
from dp2.types import Detections, Origin

_SURFACE_LIMIT = 64 * 1024 * 1024  # bytes a packed surface may unpack to: files are untrusted


def to_records(detections: Sequence[Detections]) -> list[dict[str, Any]]:
    """JSON-able rows of all kinds of one frame."""
    return [_record(found, row) for found in detections for row in range(len(found))]


def from_records(records: Any, kinds: Sequence[str], height: int, width: int, where: str) -> tuple[Detections, ...]:
    """The detections of one frame.

    Args:
        records: rows as of `to_records`.
        kinds: kinds that are to be there in this order even if empty; others follow as they appear.
        height, width: of the frame.
        where: file and line, for messages.

    Raises:
        DetectionFileError: a row is malformed.
    """
    rows: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in kinds}
    if not isinstance(records, list):
        raise DetectionFileError(f'{where}: "detections" must be a list; for nobody write [].')
    for record in records:
        if not isinstance(record, Mapping) or not isinstance(record.get("kind"), str) or "box" not in record:
            raise DetectionFileError(f'{where}: a detection needs at least "kind" and "box"; got {record!r:.120}.')
        if not record["kind"].isprintable() or not record["kind"].strip():
            raise DetectionFileError(f"{where}: {record['kind']!r} is no name of a kind.")
        if not 0 <= _score(record) <= 1:
            raise DetectionFileError(f"{where}: the score {record.get('score')!r:.40} does not lie in 0 to 1.")
        rows.setdefault(record["kind"], []).append(record)
    try:
        return tuple(_detections(kind, of_kind, height, width) for kind, of_kind in rows.items())
    except (ValueError, TypeError, KeyError, OverflowError, zlib.error) as error:
        raise DetectionFileError(f"{where}: a detection is malformed ({error}).") from error


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) bool to COCO's uncompressed run lengths."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def decode_mask(record: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    """COCO's uncompressed run lengths to (H, W) bool.

    Raises:
        ValueError: it is of another size than the frame.
    """
    counts = np.asarray(record["counts"], np.int64)
    total = height * width
    # Each by itself first: the sum of huge ones wraps round, and np.repeat then writes outside of its memory.
    fits = ((counts >= 0) & (counts <= total)).all() and len(counts) <= total + 1 and counts.sum() == total
    if list(record["size"]) != [height, width] or not fits:
        raise ValueError(f"a mask of size {record['size']} does not fit a frame of {height}x{width}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape((height, width), order="F")


def _record(found: Detections, row: int) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kind": found.kind,
        "box": [_number(value) for value in found.boxes[row]],
        "score": _number(found.scores[row]),
    }
    if found.track_ids is not None and found.track_ids[row] >= 0:
        record["track"] = int(found.track_ids[row])
    if found.origins[row] != Origin.DETECTED:
        record["origin"] = Origin(int(found.origins[row])).name.lower()
    if found.keypoints is not None:
        record["keypoints"] = [[_number(value) for value in point] for point in found.keypoints[row]]
    if found.masks is not None:
        record["mask"] = encode_mask(found.masks[row])
    if found.surface is not None and found.surface_boxes is not None:
        where = [_number(value) for value in found.surface_boxes[row]]
        record["surface"] = {**_pack_surface(found.surface[row]), "box": where}
    if found.steady is not None:
        record["steady"] = {name: value for name, value in _record(found.steady, row).items() if name != "kind"}
    return record


def _number(value: np.float32) -> float:
    """The shortest decimal that is this float32 again: results from a file equal those from the detector."""
    return float(str(value))


def _score(record: Mapping[str, Any]) -> float:
    score = record.get("score", 1.0)
    return score if isinstance(score, (int, float)) else -1.0


def _detections(kind: str, rows: Sequence[Mapping[str, Any]], height: int, width: int) -> Detections:
    if not rows:
        return Detections.empty(kind)
    boxes = np.asarray([row["box"] for row in rows], np.float32)
    return Detections(
        kind,
        boxes,
        np.asarray([row.get("score", 1.0) for row in rows], np.float32),
        keypoints=_keypoints(rows),
        masks=_masks(rows, boxes, height, width),
        surface=_surfaces(rows),
        surface_boxes=_surface_boxes(rows),
        track_ids=np.asarray([row.get("track", -1) for row in rows], np.int64)
        if any("track" in r for r in rows)
        else None,
        origin=np.asarray([Origin[str(row.get("origin", "detected")).upper()] for row in rows], np.uint8),
        steady=_steady(kind, rows, height, width),
    )


def _steady(kind: str, rows: Sequence[Mapping[str, Any]], height: int, width: int) -> Detections | None:
    """A row without it (drawn by hand) is as steady as it is."""
    if not any("steady" in row for row in rows):
        return None
    names = ("box", "score", "keypoints")
    given = [row.get("steady", row) for row in rows]
    return _detections(kind, [{name: row[name] for name in names if name in row} for row in given], height, width)


def _keypoints(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32] | None:
    """Rows without keypoints (drawn by hand) get points of confidence 0 beside those that have some."""
    count = max((len(row["keypoints"]) for row in rows if row.get("keypoints")), default=0)
    if count == 0:
        return None
    blank = np.zeros((count, 3), np.float32)
    return np.stack([np.asarray(row.get("keypoints") or blank, np.float32).reshape(count, 3) for row in rows])


def _masks(
    rows: Sequence[Mapping[str, Any]], boxes: NDArray[np.float32], height: int, width: int
) -> NDArray[np.bool_] | None:
    """A row without a mask counts with its whole box beside rows that have one."""
    if not any("mask" in row for row in rows):
        return None
    masks = np.zeros((len(rows), height, width), np.bool_)
    for index, row in enumerate(rows):
        if "mask" in row:
            masks[index] = decode_mask(row["mask"], height, width)
        else:
            x0, y0, x1, y1 = np.clip(boxes[index], 0, [width, height, width, height])
            masks[index, int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return masks


def _pack_surface(surface: NDArray[np.float32]) -> dict[str, Any]:
    planes = np.ascontiguousarray(surface, "<f4").view(np.uint8).reshape(-1, 4).T  # exponents pack well side by side
    packed = zlib.compress(planes.tobytes(), level=1)
    return {"size": list(surface.shape), "zlib": base64.b64encode(packed).decode()}


def _surfaces(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32] | None:
    if not all("surface" in row for row in rows):
        return None
    return np.stack([_surface(row["surface"]) for row in rows])


def _surface_boxes(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32] | None:
    if not all("surface" in row for row in rows):
        return None
    return np.asarray([row["surface"].get("box", row["box"]) for row in rows], np.float32)


def _surface(record: Mapping[str, Any]) -> NDArray[np.float32]:
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(base64.b64decode(record["zlib"]), _SURFACE_LIMIT)
    planes = np.frombuffer(data, np.uint8).reshape(4, -1)
    return np.ascontiguousarray(planes.T).view("<f4").astype(np.float32).reshape(tuple(record["size"]))
