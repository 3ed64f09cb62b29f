"""The shipped face model, and a texture with known colours."""

from __future__ import annotations

import numpy as np
import pytest

from dp2.faces.mesh import FaceModel, read_model


@pytest.fixture(scope="session")
def model() -> FaceModel:
    return read_model()


@pytest.fixture(scope="session")
def stripes() -> np.ndarray:
    """(256, 256, 3) uint8: red rises from left to right, green from top to bottom, blue is constant."""
    ramp = np.arange(256, dtype=np.uint8)
    across, down = np.meshgrid(ramp, ramp)
    return np.dstack([across, down, np.full_like(across, 90)])
