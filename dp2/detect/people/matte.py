"""Which pixels around a box belong to a person, by MediaPipe's selfie segmentation (a MobileNetV3 for 256×256).

Where the network is unsure, or contradicts the box, pixels count as the person's: what is left out stays visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import check_fraction, require_finite
from dp2.errors import DetectionError, EngineError, UnreadableCheckpoint, UsageError
from dp2.geometry.border import up_to_border
from dp2.inference.lazy_engine import LazyEngine
from dp2.inference.network import Network
from dp2.types import Image
from dp2.weights.formats.tflite import read_tflite
from dp2.weights.store import Store

SIDE = 256  # of what the network sees, and of its matte
_CONTEXT = 0.2  # of the longer side, seen beyond the box on every side: without surroundings the network guesses
_BEYOND = 0.08  # of the longer side: by which a whole box is enlarged, for boxes cut off feet and hands
_GROWN = 0.01  # of the longer side, by which a mask is dilated
_EDGES = (0.02, 0.06)  # of height and width: boxes of people are that much too high and wide
_THIN = 0.04  # of a side: less than a neck or a wrist is no person's cross-section


@dataclass(frozen=True, slots=True)
class Window:
    """A square of a frame, which may leave it, and a box inside.

    Attributes:
        x, y, side: of the square, in pixels.
        box: (x0, y0, x1, y1) in pixels, inside the frame.
    """

    x: int
    y: int
    side: int
    box: tuple[float, float, float, float]

    @property
    def longer(self) -> float:
        """Side of the box, in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def inner(self) -> tuple[float, float, float, float]:
        """The box in the pixels of the matte."""
        x0, y0, x1, y1 = self.box
        factor = SIDE / self.side
        return (x0 - self.x) * factor, (y0 - self.y) * factor, (x1 - self.x) * factor, (y1 - self.y) * factor


class SelfieMatte:
    """Masks for boxes of people. The file is looked for when it is built and loaded with the first box.

    Args:
        threshold: of the matte, from which a pixel belongs to a person; low, so that what is unsure is covered.
        least_share: of its box that a mask must cover; with less, the whole box is the mask.
        least_side: boxes whose longer side has fewer pixels are masked whole, without asking the network.
        convex: inside the box, what lies between parts of the person is masked too: the network overlooks hands that
            swing beside the body. A mask with all its gaps is a seventh smaller.
        engine, device: as in `dp2.detect.people.yolox.Yolox`.
        weights: name in the registry, or a TensorFlow Lite file.

    Raises:
        UsageError: a value is out of its range.
        MissingWeights: the file is not on this machine.
    """

    def __init__(
        self,
        *,
        threshold: float = 0.1,
        least_share: float = 0.15,
        least_side: int = 48,
        convex: bool = True,
        engine: str = "auto",
        device: str = "auto",
        weights: str = "selfie_segmentation",
    ) -> None:
        check_fraction("threshold", threshold)
        check_fraction("least_share", least_share)
        if least_side < 1:
            raise UsageError(f"least_side must be at least 1 pixel, not {least_side}")
        self.threshold = threshold
        self.least_share = least_share
        self.least_side = least_side
        self.convex = convex
        path = Store().path(weights)
        self._engine = LazyEngine(lambda: path, _network, engine=engine, device=device)

    @property
    def settings(self) -> dict[str, Any]:
        """As `dp2.stages.Detector.settings`; loads the weights."""
        return {
            "matte": "SelfieMatte",
            "threshold": self.threshold,
            "least_share": self.least_share,
            "least_side": self.least_side,
            "convex": self.convex,
            "border": "filled",  # so that stored results from before are not taken for these
            "resize": "linear",
            **self._engine.settings,
        }

    def __call__(self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]) -> list[NDArray[np.bool_]]:
        """Masks of people in frames.

        Args:
            images: (H, W, 3) uint8 RGB each.
            boxes: (N, 4) x0 y0 x1 y1 in pixels, for each frame.

        Returns:
            (N, H, W) bool for each frame, True on the person and where that is unsure.

        Raises:
            DetectionError: inference failed.
        """
        masks = [np.zeros((len(rows), *image.shape[:2]), np.bool_) for image, rows in zip(images, boxes, strict=True)]
        asked: list[tuple[int, int, Window]] = []
        for frame, (image, rows) in enumerate(zip(images, boxes, strict=True)):
            for row, box in enumerate(rows):
                window = window_of(box, image.shape[0], image.shape[1])
                if window.longer < self.least_side:
                    paste(masks[frame][row], whole_box(window), window)
                else:
                    asked.append((frame, row, window))
        mattes = self._mattes([cut(images[frame], window) for frame, _, window in asked])
        for (frame, row, window), matte in zip(asked, mattes, strict=True):
            rule = {"threshold": self.threshold, "least_share": self.least_share}
            mask = safe_mask(matte, window.inner, **rule, convex=self.convex)
            paste(masks[frame][row], mask, window)
        for of_frame, rows in zip(masks, boxes, strict=True):
            for one, box in zip(of_frame, rows, strict=True):
                up_to_border(one, box)
        return masks

    def soft(self, image: Image) -> NDArray[np.float32]:
        """(H, W, 3) uint8 RGB of a portrait to (H, W) float32 in [0, 1]: how surely each pixel is the person's.

        Raises:
            DetectionError: inference failed.
        """
        import cv2

        height, width = image.shape[:2]
        seen = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA if height > SIDE else cv2.INTER_LINEAR)
        matte = cv2.resize(self._mattes([seen])[0], (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(matte, np.float32).clip(0, 1)

    def _mattes(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """(N, 256, 256) in [0, 1]."""
        if not crops:
            return np.zeros((0, SIDE, SIDE), np.float32)
        engine = self._engine.get()
        try:
            mattes = np.concatenate([engine.run(crop[None])[0] for crop in crops])  # [N, 1, 256, 256]
        except EngineError as error:
            raise DetectionError(f"selfie segmentation failed: {error}") from error
        require_finite("selfie segmentation", mattes)
        return mattes[:, 0]


def _network(data: bytes, path: Path) -> Network:
    from dp2.inference.tflite_onnx import to_onnx

    graph = read_tflite(data, path)
    shapes = [graph.tensors[index].shape for index in (*graph.inputs, *graph.outputs)]
    if shapes != [(1, SIDE, SIDE, 3), (1, SIDE, SIDE, 1)]:
        raise UnreadableCheckpoint(f"{path}: not MediaPipe's square selfie segmentation: {shapes}.")
    try:
        # With a free axis OpenVINO takes half as long again.
        return Network(to_onnx(graph, scale=1 / 255, batch=1), ("output0",), pixels=True, threads=1)
    except ValueError as error:
        raise UnreadableCheckpoint(f"{path}: cannot be converted: {error}.") from error


def window_of(box: NDArray[np.float32], height: int, width: int) -> Window:
    """The square around the part of a box inside the frame, with some of its surroundings."""
    x0, x1 = np.clip(box[[0, 2]].astype(np.float64), 0, width).tolist()
    y0, y1 = np.clip(box[[1, 3]].astype(np.float64), 0, height).tolist()
    side = max(2, round(max(x1 - x0, y1 - y0) * (1 + 2 * _CONTEXT)))
    return Window(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side, (x0, y0, x1, y1))


def cut(image: Image, window: Window) -> Image:
    """(256, 256, 3) uint8 RGB: the square, with the frame's edge repeated where it leaves the frame."""
    import cv2

    height, width = image.shape[:2]
    x1, y1 = window.x + window.side, window.y + window.side
    inside = image[max(window.y, 0) : min(y1, height), max(window.x, 0) : min(x1, width)]
    border = (max(-window.y, 0), max(y1 - height, 0), max(-window.x, 0), max(x1 - width, 0))
    square = cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE) if any(border) else inside
    much = window.side >= 2 * SIDE  # below, two neighbours in each direction tell enough, in a fifth of the time
    crop: Image = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA if much else cv2.INTER_LINEAR)
    return crop


def safe_mask(
    matte: NDArray[np.float32],
    box: tuple[float, float, float, float],
    *,
    threshold: float,
    least_share: float,
    convex: bool = False,
) -> NDArray[np.bool_]:
    """A mask that leaves out no part of a person, in the pixels of the matte.

    Every row and every column of a tight box holds some of the person. Where the matte has none, it failed there, and
    the box counts: a leg that was not recognised is covered by a bar. If the matte fills too little of the box, it
    failed as a whole. Outside the box counts what hangs together with the inside, for boxes cut off heads and feet.

    Args:
        matte: (S, S) float32 in [0, 1].
        box: x0 y0 x1 y1 in pixels of the matte.
        threshold, least_share, convex: see `SelfieMatte`.

    Returns:
        (S, S) bool.
    """
    import cv2

    mask = matte >= np.float32(threshold)
    x0, y0, x1, y1 = _pixels(box, 0, matte.shape)
    inside = mask[y0:y1, x0:x1]
    if not inside.size or inside.mean() < least_share:
        return _box_mask(box, matte.shape)
    rows = _missing(inside.sum(axis=1), x1 - x0, _EDGES[0])
    columns = _missing(inside.sum(axis=0), y1 - y0, _EDGES[1])
    inside[rows] = True
    inside[:, columns] = True
    if convex:
        inside |= _between(inside)
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    own = (np.bincount(labels[y0:y1, x0:x1].ravel(), minlength=count) > 0).astype(np.uint8)
    own[0] = 0  # the background
    radius = max(1, round(_GROWN * max(box[2] - box[0], box[3] - box[1])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown: NDArray[np.bool_] = cv2.dilate(own[labels], kernel).view(np.bool_)
    return grown


def whole_box(window: Window) -> NDArray[np.bool_]:
    """(256, 256) bool: the box with a margin."""
    return _box_mask(window.inner, (SIDE, SIDE))


def paste(target: NDArray[np.bool_], mask: NDArray[np.bool_], window: Window) -> None:
    """Set in `target` (H, W) what lies under the mask (256, 256) of a window; a pixel it only touches is set too."""
    import cv2

    height, width = target.shape
    x0, y0 = max(window.x, 0), max(window.y, 0)
    x1, y1 = min(window.x + window.side, width), min(window.y + window.side, height)
    if x1 <= x0 or y1 <= y0:
        return
    interpolation = cv2.INTER_AREA if window.side < SIDE else cv2.INTER_LINEAR
    square = cv2.resize(mask.view(np.uint8) * np.uint8(255), (window.side, window.side), interpolation=interpolation)
    target[y0:y1, x0:x1] |= square[y0 - window.y : y1 - window.y, x0 - window.x : x1 - window.x] > 0


def _missing(counts: NDArray[np.intp], across: int, edge: float) -> NDArray[np.bool_]:
    """Which lines of a box, of `across` pixels each, hold too little of the person; not those at the box's edges."""
    outer = round(edge * len(counts))
    missing: NDArray[np.bool_] = counts < _THIN * across
    missing[:outer] = False
    missing[len(counts) - outer :] = False
    return missing


def _between(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The convex hull of a mask that is not empty."""
    import cv2

    filled = np.zeros(mask.shape, np.uint8)
    # The first and the last of each row have the same hull as all, and are few.
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    points: Any = np.concatenate([np.stack([first, rows], 1), np.stack([last, rows], 1)]).astype(np.int32)
    cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled.view(np.bool_)


def _box_mask(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    x0, y0, x1, y1 = _pixels(box, _BEYOND * max(box[2] - box[0], box[3] - box[1]), shape)
    mask[y0:y1, x0:x1] = True
    return mask


def _pixels(box: tuple[float, float, float, float], margin: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The whole pixels that a box with a margin touches, clipped."""
    corner = np.floor(np.array(box[:2]) - margin).clip(0, shape[::-1]).astype(int)
    other = np.ceil(np.array(box[2:]) + margin).clip(0, shape[::-1]).astype(int)
    return int(corner[0]), int(corner[1]), int(other[0]), int(other[1])
