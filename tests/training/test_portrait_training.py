"""The objective of dp2's own generator: an autoencoder, then a weak adversary."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dp2.data.batch import Batch
from dp2.errors import CheckpointMismatch, TrainingError
from dp2.models.portrait.critics import FrozenFeatures, PortraitDiscriminator, PortraitEncoder
from dp2.models.portrait.unet import PortraitUnet
from dp2.training.objectives.portrait_parts import grown
from dp2.training.objectives.portrait_vae import PortraitObjective, Weights, astray, within
from dp2.training.schedules import Stages

_WIDTHS = (4, 8, 8, 8, 8)


def _objective(**settings: object) -> PortraitObjective:
    torch.manual_seed(0)
    return PortraitObjective(
        generator=PortraitUnet(widths=_WIDTHS, z_channels=6, w_channels=12),
        encoder=PortraitEncoder(z_channels=6),
        discriminator=PortraitDiscriminator(widths=_WIDTHS),
        features=FrozenFeatures(),
        **settings,  # type: ignore[arg-type]
    )


def _batch(count: int = 8) -> Batch:
    chance = torch.Generator().manual_seed(1)
    mask = torch.ones(count, 1, 64, 64, dtype=torch.bool)
    mask[:, :, 12:52, 16:48] = False
    points = torch.tensor([[0.38, 0.4], [0.62, 0.4], [0.5, 0.55], [0.4, 0.7], [0.6, 0.7]])
    return Batch(
        image=torch.randint(256, (count, 3, 64, 64), generator=chance, dtype=torch.uint8),
        mask=mask,
        keypoints=torch.cat([points, torch.ones(5, 1)], 1).expand(count, 5, 3).contiguous(),
        tone=torch.zeros(count, 3),
    )


def _names(objective: PortraitObjective, step: int) -> list[str]:
    return [phase.name for phase in objective.phases(step)]


def test_the_adversary_comes_later_and_first_learns_alone():
    objective = _objective(adversary_from=10, alone=4, r1_every=3)
    assert _names(objective, 9) == ["generator"]
    assert _names(objective, 10) == ["discriminator"]
    assert _names(objective, 12) == ["discriminator", "r1"]
    assert _names(objective, 14) == ["discriminator", "generator"]


def test_every_phase_moves_what_it_trains_and_nothing_else():
    objective, batch = _objective(adversary_from=0, alone=0), _batch()
    for phase in objective.phases(0):
        for network in objective.networks.values():
            network.zero_grad()
        for name, network in objective.networks.items():
            network.requires_grad_(name in phase.trains)
        losses = phase.losses(batch, torch.Generator().manual_seed(2))
        assert torch.isfinite(losses.total)
        losses.total.backward()
        for name in phase.trains:
            moved = [p.grad is not None and bool(p.grad.any()) for p in objective.networks[name].parameters()]
            assert sum(moved) > len(moved) / 3, (phase.name, name)


def test_a_few_steps_of_the_autoencoder_lower_its_loss():
    objective, batch = _objective(), _batch(4)
    generator, encoder = objective.networks["generator"], objective.networks["encoder"]
    optimizer = torch.optim.Adam([*generator.parameters(), *encoder.parameters()], 2e-3)
    (phase,) = objective.phases(0)
    course = []
    for _ in range(12):
        optimizer.zero_grad()
        losses = phase.losses(batch, torch.Generator().manual_seed(0))
        losses.total.backward()
        optimizer.step()
        course.append(losses.total.item())
    assert course[-1] < 0.95 * course[0]


def test_the_loss_of_a_perfect_picture_is_the_latents_alone(monkeypatch: pytest.MonkeyPatch):
    objective, batch = _objective(weights=Weights(latent=0.0)), _batch(2)
    generator = objective.networks["generator"]
    monkeypatch.setattr(generator, "paint", lambda *_: batch.real)
    (phase,) = objective.phases(0)
    assert float(phase.losses(batch, torch.Generator()).total) == pytest.approx(0, abs=1e-6)


def test_the_pool_goes_on_after_a_resume():
    objective, batch = _objective(adversary_from=0, pool=8), _batch(8)
    phase = objective.phases(1)[0]
    with torch.no_grad():
        for step in range(3):
            phase.losses(batch, torch.Generator().manual_seed(step))
        other = _objective(adversary_from=0, pool=8)
        other.load_state_dict(copy.deepcopy(objective.state_dict()))
        for name, network in other.networks.items():
            network.load_state_dict(objective.networks[name].state_dict())
        one, two = (
            each.phases(1)[0].losses(batch, torch.Generator().manual_seed(9)).total for each in (objective, other)
        )
    assert one.equal(two)


def test_samples_without_landmarks_are_refused():
    batch = _batch(2)
    bare = Batch(image=batch.image, mask=batch.mask)
    (phase,) = _objective().phases(0)
    with pytest.raises(TrainingError, match="keypoints"):
        phase.losses(bare, torch.Generator())


def test_scores_count_within_the_hole():
    scores = torch.zeros(1, 1, 4, 4)
    scores[..., 0] = 100
    hole = torch.zeros(1, 1, 16, 16)
    hole[..., 8:12] = 1
    assert within(scores, hole) == 0
    assert within(scores + 3, hole) == 3


def test_another_face_may_look_otherwise_but_not_in_other_light_or_contrast():
    chance = torch.Generator().manual_seed(0)
    real = (torch.rand(2, 3, 64, 64, generator=chance) - 0.5) * 0.4
    other = (torch.rand(2, 3, 64, 64, generator=chance) - 0.5) * 0.4
    hole = torch.zeros(2, 1, 64, 64)
    hole[..., 8:56, 16:48] = 1
    assert astray(other, real, hole) == 0
    assert astray(other + 0.3 * (1 - hole), real, hole) == 0  # nothing but the hole counts
    assert astray(other + 0.3, real, hole) == pytest.approx(0.15, abs=0.05)
    assert astray(other * 3, real, hole) > 0.1
    assert astray(other * 0.1, real, hole) == 0  # smooth skin is no fault
    flat = torch.zeros(2, 3, 64, 64, requires_grad=True)
    astray(flat, real + 0.5, hole).backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
    assert flat.grad.any()


def test_a_grown_generator_begins_as_the_smaller_one(tmp_path: Path):
    torch.manual_seed(0)
    small = PortraitUnet(widths=_WIDTHS, z_channels=6, w_channels=12)
    save_file(small.state_dict(), tmp_path / "small.safetensors")
    large = grown(
        generator=PortraitUnet(widths=(2, *_WIDTHS), z_channels=6, w_channels=12),
        weights=str(tmp_path / "small.safetensors"),
    )
    z = torch.randn(2, 6)
    assert torch.equal(large.style(z), small.style(z))
    assert torch.equal(large.decoder[3][0].weight, small.decoder[2][0].weight)
    assert not large.to_rgb[0].weight.any()
    with pytest.raises(CheckpointMismatch, match="grow"):
        grown(generator=PortraitUnet(widths=(2, 2, 4, 8, 8, 8)), weights=str(tmp_path / "small.safetensors"))


def test_stages_of_the_rate():
    rate = Stages(lengths=[100, 100], factors=[1.0, 0.5], warmup=10)
    assert rate(0) == pytest.approx(0.1)
    assert rate(50) == 1
    assert rate(100) == 0.5
    assert rate(150) == pytest.approx(0.275)
    assert rate(500) == pytest.approx(0.05)
