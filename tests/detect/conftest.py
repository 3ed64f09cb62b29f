"""Real photos, found inside installed packages and beside the checkout."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from dp2.types import Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def packaged_photo(package: str, name: str) -> Image:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package}, whose {name} is the photo here, is not installed")
    return read(Path(spec.origin).parent / name)


def read(path: Path) -> Image:
    with PilImage.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="session")
def hopper() -> Image:
    """One face, 606 × 512."""
    return packaged_photo("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")


@pytest.fixture(scope="session")
def astronaut() -> Image:
    """One face, 512 × 512."""
    return packaged_photo("skimage", "data/astronaut.png")


@pytest.fixture(scope="session")
def group(hopper: Image, astronaut: Image) -> Image:
    """Both photos twice, mirrored the second time: four faces, 768 × 768."""
    a, h = (np.asarray(PilImage.fromarray(image[:512, :512]).resize((384, 384))) for image in (astronaut, hopper))
    return np.ascontiguousarray(np.vstack([np.hstack([a, h]), np.hstack([h, a])[:, ::-1]]))


@pytest.fixture(scope="session")
def city() -> Image:
    """A street crossing with about 25 faces, 564 × 800."""
    return shared_photo("images/city.jpg")


@pytest.fixture(scope="session")
def regjeringen() -> Image:
    """A group of 19, 1329 × 2560."""
    return shared_photo("images/regjeringen.jpg")


def shared_photo(name: str) -> Image:
    if not (SHARED / name).is_file():
        pytest.skip(f"../shared/data/{name} is not here")
    return read(SHARED / name)


@pytest.fixture(scope="session")
def city_faces() -> np.ndarray:
    """(20, 2) a point in each face of `city` of at least 20 pixels, as seen by a person."""
    left = [(217, 240), (330, 225), (588, 188), (715, 170), (962, 250), (1008, 222), (1135, 222)]
    right = [(155, 685), (297, 692), (317, 763), (407, 680), (480, 675), (636, 600), (683, 655)]
    right += [(712, 770), (790, 755), (833, 670), (890, 700), (575, 790), (1185, 650)]
    return np.array(left + [(x + 1150, y - 450) for x, y in right]) / 3 + (0, 70)  # noted in enlarged parts


@pytest.fixture
def halved(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """Lets detectors treat the CPU as a GPU: half precision where it is asked for, nothing packed.

    Returns:
        types that convolutions put out, as they happen.
    """
    seen: list[torch.dtype] = []
    convolve = torch.nn.Conv2d._conv_forward

    def watched(self: torch.nn.Conv2d, *arguments: torch.Tensor) -> torch.Tensor:
        out = convolve(self, *arguments)
        seen.append(out.dtype)
        return out

    monkeypatch.setattr(torch.nn.Conv2d, "_conv_forward", watched)
    monkeypatch.setattr("dp2.inference.torch_network._HALVED", ("cpu",))
    monkeypatch.setattr("dp2.models.fuse.can_pack", lambda module: False)
    return seen
