"""Non-maximum suppression: one box per thing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dp2.types import Detections, Origin


def areas(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N,) areas of (N, 4) boxes; an inside-out box has none."""
    result: NDArray[np.floating] = (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)
    return result


def intersections(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, M) shared areas of (N, 4) and (M, 4) boxes."""
    corner0 = np.maximum(boxes[:, None, :2], others[None, :, :2])
    corner1 = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared: NDArray[np.floating] = (corner1 - corner0).clip(0).prod(axis=2)
    return shared


def nms(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    over: Literal["union", "smaller"] = "union",
) -> NDArray[np.intp]:
    """Greedy suppression: the best box stays, those that overlap it by more than the threshold go, and so on.

    Args:
        boxes: (N, 4) x0 y0 x1 y1.
        scores: (N,) higher is better; among equals the earlier row wins.
        threshold: largest overlap that two kept boxes may have.
        over: what the shared area is divided by: the union (IoU) or the smaller of the two areas.

    Returns:
        (K,) rows that stay, best first.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    boxes = np.asarray(boxes, np.float64)[order]
    area = areas(boxes)
    alive = np.ones(len(boxes), bool)
    kept = []
    for row in range(len(boxes)):
        if not alive[row]:
            continue
        kept.append(row)
        rest = row + 1 + np.flatnonzero(alive[row + 1 :])
        if len(rest):
            shared = intersections(boxes[row : row + 1], boxes[rest])[0]
            whole = np.minimum(area[row], area[rest]) if over == "smaller" else area[row] + area[rest] - shared
            alive[rest[shared > threshold * whole]] = False
    return order[np.array(kept, np.intp)]


def suppress(detections: Detections, threshold: float) -> Detections:
    """One row per thing, best first; keypoints, masks and the rest follow their box.

    A weak row never suppresses a sure one, whatever their scores: those may come from different detectors.
    """
    weak = detections.origins == Origin.WEAK
    priority = detections.scores.astype(np.float64) - 2.0 * weak  # scores lie in [0, 1]
    return detections[nms(detections.boxes, priority, threshold)]
