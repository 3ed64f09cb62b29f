"""Real media that every test may use."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def packaged(package: str, inner: str) -> Path:
    """A file inside an installed wheel, without importing the package."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / inner


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8 RGB, one face."""
    return np.asarray(Image.open(packaged("skimage", "data/astronaut.png")).convert("RGB"))


@pytest.fixture(scope="session")
def hopper() -> np.ndarray:
    """(600, 512, 3) uint8 RGB, one face."""
    return np.asarray(Image.open(packaged("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")).convert("RGB"))


@pytest.fixture(scope="session")
def media() -> Path:
    """The project's own pictures."""
    return ROOT / "media"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data; tests that need it are skipped where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not there")
    return folder
