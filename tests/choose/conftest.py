"""Faces that are told apart without weights: by what they look like at 12×10 pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dp2.choose.matching import Matching
from dp2.config import build, load_config
from dp2.faces.alignment import SPHEREFACE, aligned
from dp2.stages import Detector


class Look:
    """An embedder: the aligned face, shrunk. Two pictures of one photo are alike, of two people they are not."""

    name, channels, same_person = "look", 120, 0.9

    def __init__(self) -> None:
        self.embedded = 0

    def __call__(self, images: Sequence[np.ndarray], boxes: np.ndarray, landmarks: Any = None) -> np.ndarray:
        self.embedded += len(images)
        faces = [aligned(image, row, SPHEREFACE, (112, 96)) for image, row in zip(images, landmarks, strict=True)]
        small = [cv2.resize(face, (10, 12), interpolation=cv2.INTER_AREA).mean(axis=2).ravel() for face in faces]
        centred = [row - row.mean() for row in small]
        return np.array([row / np.linalg.norm(row) for row in centred], np.float32).reshape(-1, 120)


@pytest.fixture(scope="session")
def centerface() -> Detector:
    tree = load_config("face_blur")
    return build(tree.detector)


@pytest.fixture
def matching(centerface: Detector) -> Matching:
    return Matching(embedder=Look(), faces=centerface, distance=0.5, doubt=0.1)


@pytest.fixture
def portraits(tmp_path: Path, astronaut: np.ndarray, hopper: np.ndarray) -> Callable[[str, float], Path]:
    """`portraits(name, factor)`: a reference picture of one of the two at another size and brightness."""

    def make(name: str, factor: float = 0.8) -> Path:
        image = {"astronaut": astronaut[20:240, 110:340], "hopper": hopper[20:330, 100:400]}[name]
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        path = tmp_path / f"{name}.png"
        Image.fromarray(np.clip(small * 0.8 + 10, 0, 255).astype(np.uint8)).save(path)
        return path

    return make
