"""A tiny generator, its tiny data and a config that names both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dp2.metrics.painter import Painter
from dp2.models.stylegan.unet import StyleGANUnet

NETWORK = {
    "resolution": [32, 32], "width": 4, "max_multiplier": 2, "lowest": 8, "embedding_channels": 0,
    "z_channels": 8, "w_channels": 16, "linear_skip": True, "clamp": 256.0,
}  # fmt: skip

MODULE = '''
import numpy as np
import torch

from dp2.data.batch import Sample


class Ramps:
    """Colour ramps of 32x32 with a square hole."""

    resolution = (32, 32)

    def __init__(self, count=12, shift=0):
        self.count, self.shift = count, shift

    def __len__(self):
        return self.count

    def sample(self, index, rng):
        chance = np.random.RandomState(index + self.shift)
        y, x = np.mgrid[:32, :32] / 31
        a, b = chance.uniform(0, 255, (2, 3, 1, 1))
        image = (a * x + b * y) / 2 + chance.uniform(0, 60, (3, 1, 1))
        mask = np.ones((1, 32, 32), bool)
        mask[:, 8:24, 10:22] = False
        return Sample(torch.from_numpy(image.clip(0, 255).astype(np.uint8)), torch.from_numpy(mask))
'''


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small lose by more, above all where several test processes share the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_network() -> StyleGANUnet:
    torch.manual_seed(0)
    network = StyleGANUnet(**NETWORK).eval().requires_grad_(False)
    for name, value in network.state_dict().items():
        if name.endswith("noise_strength") or "bias" in name:
            value.normal_(0, 0.1)
    return network


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_network: StyleGANUnet):
    """The config's path."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny_ramps.py").write_text(MODULE)
    save_file(
        {key: value.contiguous() for key, value in tiny_network.state_dict().items()}, folder / "tiny.safetensors"
    )
    (folder / "config.py").write_text(
        "from dp2.config import L\n"
        f"generator = L('dp2.models.stylegan.unet.StyleGANUnet')(**{NETWORK!r})\n"
        "data = {'validation': L('tiny_ramps.Ramps')(count=12)}\n"
        f"weights = {str(folder / 'tiny.safetensors')!r}\n"
    )
    sys.path.insert(0, str(folder))
    yield folder / "config.py"
    sys.path.remove(str(folder))
    sys.modules.pop("tiny_ramps", None)


@pytest.fixture
def painter(tiny_network: StyleGANUnet) -> Painter:
    return Painter(tiny_network, torch.device("cpu"))


@pytest.fixture
def ramps(tiny: Path):
    """Makes datasets."""
    from tiny_ramps import Ramps

    return Ramps
