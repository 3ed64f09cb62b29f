"""The training step of StyleGAN2 from the papers' equations, in double precision.

Goodfellow et al. (NIPS 2014), the non-saturating game: D lowers −log D(x) − log(1 − D(G(z))), G lowers −log D(G(z)).
Mescheder et al. (ICML 2018), equation 9: R1 = γ/2 · E‖∇D(x)‖². Karras et al. (CVPR 2020), equation 4: path lengths
‖Jᵀy‖. The networks are the plain passes of make_stylegan_cases.py. Run from the root to write what the parity weights
give, which takes minutes:

    python tests/data/make_training_step.py
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

HERE = Path(__file__).parent
PARITY = HERE.parents[2] / "shared" / "parity"
STORED = HERE / "training_step.json"
R1, EPSILON, LAZY = 0.7, 0.001, 16


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


make = load(HERE / "make_stylegan_cases.py")


@dataclass
class Case:
    """Networks by their settings and weights, and one batch."""

    generator: dict[str, Any]
    discriminator: dict[str, Any]
    generator_weights: dict[str, Tensor]
    discriminator_weights: dict[str, Tensor]
    image: Tensor  # (N, 3, H, W) uint8
    mask: Tensor  # (N, 1, H, W) bool, True = kept
    z: Tensor  # (N, z_channels)


def case(generator: dict[str, Any], discriminator: dict[str, Any], weights: list[dict[str, Tensor]], n: int) -> Case:
    """A picture of noise with a hole in its middle; the latents that an objective draws first from `chance`."""
    height, width = generator["resolution"]
    mask = torch.ones(n, 1, height, width, dtype=torch.bool)
    mask[:, :, height // 4 : -height // 4, width // 4 : -width // 4] = False
    image = torch.randint(0, 256, (n, 3, height, width), generator=torch.Generator().manual_seed(5)).to(torch.uint8)
    z = torch.randn(n, generator.get("z_channels", 512), generator=chance())
    return Case(generator, discriminator, weights[0], weights[1], image, mask, z)


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def published() -> Case:
    """FDF128 with the parity weights."""
    recipe = load(PARITY / "recipe.py")
    settings = {"resolution": (128, 128), "width": 128, "max_multiplier": 4}
    weights = [recipe.weights("fdf128_stylegan"), recipe.weights("sg2d_fdf128")]
    return case(settings, {"resolution": (128, 128)}, weights, n=2)


class Equations:
    """The step in double precision; weights are leaves, so that it can be differentiated."""

    def __init__(self, of: Case) -> None:
        self.settings, self.z = of.generator, of.z
        self.mask = of.mask.double()
        self.picture = (of.image.double() * 2 / 255 - 1).requires_grad_()
        self.condition = self.picture.detach() * self.mask
        self.generator, self.discriminator = make.Plain(of.generator_weights), make.Plain(of.discriminator_weights)
        for network in (self.generator, self.discriminator):
            network.state = {key: value.clone().requires_grad_() for key, value in network.state.items()}

    def painted(self) -> Tensor:
        x = {"condition": self.condition, "mask": self.mask, "z": self.z}
        image: Tensor = self.generator.generator(self.settings, x)
        return image

    def score(self, picture: Tensor) -> Tensor:
        """The probability of being real is its sigmoid."""
        x = {"image": picture, "condition": self.condition, "mask": self.mask}
        score: Tensor = self.discriminator.discriminator(x)
        return score

    def discriminator_losses(self, fake: Tensor) -> dict[str, Tensor]:
        real, fake = self.score(self.picture), self.score(fake.detach())
        (slope,) = torch.autograd.grad(real.sum(), self.picture, create_graph=True)
        r1 = (slope**2).sum((1, 2, 3)).mean()
        loss = (-torch.sigmoid(real).log() - (1 - torch.sigmoid(fake)).log()).mean()
        return {"loss": loss, "r1": r1, "total": loss + EPSILON * (real**2).mean() + R1 / 2 * LAZY * r1}

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -torch.sigmoid(self.score(fake)).log().mean()


def main() -> None:
    equations = Equations(published())
    with torch.no_grad():
        fake = equations.painted()
        numbers = {"generator": float(equations.generator_loss(fake))}
    numbers |= {name: value.item() for name, value in equations.discriminator_losses(fake).items()}
    STORED.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
