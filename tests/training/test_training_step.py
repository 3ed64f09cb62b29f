"""Losses, penalties and gradients of one batch against the papers' equations in double precision."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from dp2.data.batch import Batch
from dp2.models.stylegan.discriminator import StyleGAN2Discriminator
from dp2.models.stylegan.unet import StyleGANUnet
from dp2.training.objectives.losses import path_lengths
from dp2.training.objectives.objective import Losses
from dp2.training.objectives.stylegan2 import PathLength, StyleGAN2

DATA = Path(__file__).resolve().parents[1] / "fixtures"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


step = load(DATA / "make_training_step.py")
needs_parity = pytest.mark.skipif(not (step.PARITY / "recipe.py").exists(), reason="needs ../shared/parity")


def small():
    """Published networks with few channels."""
    generator = step.make.GENERATORS["face"]
    critic = {"resolution": generator["resolution"], "width": 4, "max_multiplier": 2}
    shapes = [step.make.shapes_of(StyleGANUnet(**generator)), step.make.shapes_of(StyleGAN2Discriminator(**critic))]
    return step.case(generator, critic, [step.make.seeded(shape) for shape in shapes], n=4)


class Ours:
    """The objective under test with the weights of a case."""

    def __init__(self, case) -> None:
        self.generator = StyleGANUnet(**case.generator)
        self.discriminator = StyleGAN2Discriminator(**case.discriminator)
        self.generator.load_state_dict(case.generator_weights, strict=True)
        self.discriminator.load_state_dict(case.discriminator_weights, strict=True)
        self.batch = Batch(case.image, case.mask)
        self.objective = StyleGAN2(
            generator=self.generator, discriminator=self.discriminator, r1=step.R1, path_length=PathLength(shrink=1)
        )

    def losses(self, name: str) -> Losses:
        """Of a phase in a regularised step."""
        (phase,) = [phase for phase in self.objective.phases(0) if phase.name == name]
        return phase.losses(self.batch, step.chance())


def close(ours: Tensor | None, theirs: Tensor | float | None, tolerance: float = 1e-4) -> None:
    ours, theirs = (torch.as_tensor(value).detach().double() for value in (ours, theirs))
    assert float((ours - theirs).norm() / theirs.norm()) < tolerance


def test_losses_and_r1_equal_the_equations() -> None:
    ours, equations = Ours(small()), step.Equations(small())
    fake = equations.painted()
    expected, found = equations.discriminator_losses(fake), ours.losses("discriminator")
    close(found.total, expected["total"])
    close(found.numbers["loss"], expected["loss"])
    close(found.numbers["r1"], expected["r1"])
    close(ours.losses("generator").total, equations.generator_loss(fake))


@pytest.mark.parity
@needs_parity
def test_losses_and_r1_of_published_networks_equal_the_equations() -> None:
    ours, expected = Ours(step.published()), json.loads(step.STORED.read_text())
    found = ours.losses("discriminator")
    close(found.total, expected["total"])
    close(found.numbers["loss"], expected["loss"])
    close(found.numbers["r1"], expected["r1"])
    with torch.no_grad():
        close(ours.losses("generator").total, expected["generator"])


def test_gradients_of_the_step_equal_the_equations() -> None:
    ours, equations = Ours(small()), step.Equations(small())
    fake = equations.painted()
    equations.discriminator_losses(fake)["total"].backward(retain_graph=True)
    ours.losses("discriminator").total.backward()
    for key, parameter in ours.discriminator.named_parameters():
        close(parameter.grad, equations.discriminator.state[key].grad, 1e-3)
    equations.generator_loss(fake).backward()
    ours.losses("generator").total.backward()
    for key, parameter in ours.generator.named_parameters():
        close(parameter.grad, equations.generator.state[key].grad, 1e-3)


def test_path_lengths_are_those_of_a_known_jacobian() -> None:
    jacobian = torch.randn(5, 2 * 3 * 4, generator=step.chance())
    w = torch.zeros(3, 5, requires_grad=True)
    y = torch.randn(3, 2, 3, 4, generator=step.chance())
    expected = torch.stack([(jacobian @ one.flatten() / (3 * 4) ** 0.5).norm() for one in y])
    close(path_lengths((w @ jacobian).view(3, 2, 3, 4), w, y), expected)


def test_path_length_penalty_pulls_towards_the_running_mean() -> None:
    ours = Ours(small())
    first = ours.losses("path_length")
    mean = 0.01 * first.numbers["length"]
    assert float(first.numbers["penalty"]) >= float((first.numbers["length"] - mean) ** 2) > 0
    close(first.total, 2 * 4 * first.numbers["penalty"])
