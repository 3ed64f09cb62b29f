"""Augmentation of what discriminators see."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dp2.errors import TrainingError
from dp2.training.augmentation.augment import AdaptiveAugment, Augmentation, DiffAugment, Views
from dp2.training.augmentation.warps import flip, move, rotate, scale, shifted, warp

AUGMENTATIONS = [DiffAugment(), AdaptiveAugment(batch=8, initial=1.0)]


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def views(count: int = 4, size: tuple[int, int] = (16, 12)) -> Views:
    """A picture whose condition and extra map are the picture itself where it is kept."""
    image = torch.rand(count, 3, *size, generator=chance()) * 2 - 1
    mask = torch.ones(count, 1, *size)
    mask[:, :, 4:9, 3:8] = 0
    return Views(image, image * mask, mask, mask.clone())


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_all_views_move_and_change_alike(augmentation: Augmentation) -> None:
    before = views()
    after = augmentation(Views(before.image, before.image, torch.ones_like(before.mask), before.mask), chance())
    torch.testing.assert_close(after.image, after.condition)  # without a hole both are the same picture
    assert (after.image - before.image).abs().mean() > 0.1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_nothing_of_the_hole_is_told_by_its_condition(augmentation: Augmentation, seed: int) -> None:
    before = views()
    other = Views(torch.where(before.mask > 0, before.image, torch.zeros(())), before.condition, before.mask)
    after, same = augmentation(before, chance(seed)), augmentation(other, chance(seed))
    hole = (after.mask == 0).expand_as(after.image)
    assert hole.any()
    assert after.condition[hole].abs().max() < 1e-6
    assert torch.equal(after.mask, same.mask)


def test_mask_moves_with_the_picture() -> None:
    hole = views().mask
    drawn = Views(hole.expand(-1, 3, -1, -1) * 2 - 1, hole.expand(-1, 3, -1, -1), hole, hole)
    after = DiffAugment(["translation"])(drawn, chance())
    kept_black = after.mask - after.condition[:, :1]  # what came in
    torch.testing.assert_close(after.image[:, :1] + kept_black, (after.mask * 2 - 1) * (1 - kept_black) + kept_black)
    assert after.extra is not None
    torch.testing.assert_close(after.extra + kept_black, after.mask)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_differentiates_twice(augmentation: Augmentation) -> None:
    given_views = views(2, (5, 4))

    def change(image: Tensor) -> Tensor:
        view = Views(image, given_views.condition.double(), given_views.mask.double())
        return augmentation(view, chance()).image.square()

    image = given_views.image.double().requires_grad_()
    assert torch.autograd.gradcheck(change, (image,))
    assert torch.autograd.gradgradcheck(change, (image,))


@settings(max_examples=25, deadline=None)
@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 9), st.integers(1, 9))
def test_whole_shifts_lose_only_what_leaves(down: int, right: int, height: int, width: int) -> None:
    x = torch.rand(1, 2, height, width) + 0.1
    y = shifted(x, torch.tensor([down]), torch.tensor([right]))
    back = shifted(y, torch.tensor([-down]), torch.tensor([-right]))
    kept = back != 0
    assert torch.equal(back[kept], x[kept])
    assert int(kept.sum()) == 2 * max(0, height - abs(down)) * max(0, width - abs(right))


def test_exact_warps_move_whole_pixels() -> None:
    x = torch.rand(1, 2, 8, 8)
    assert torch.equal(warp(x, flip(torch.tensor([True]))), x.flip(3))
    quarter = warp(x, rotate(torch.tensor([torch.pi / 2])))
    torch.testing.assert_close(quarter, x.rot90(1, (2, 3)))
    torch.testing.assert_close(warp(x, move(torch.tensor([3.0]), torch.tensor([0.0])))[..., :5], x[..., 3:])
    one = torch.ones(1)
    torch.testing.assert_close(warp(x, scale(one, one)), x)


def test_probability_follows_the_sign_of_real_logits() -> None:
    augmentation = AdaptiveAugment(batch=10, interval=2, ramp=100, target=0.5)
    for step, sign in enumerate([1, 1, 1, 1, -1, -1, -1]):
        augmentation.adapt(step)
        augmentation.observe(sign * torch.ones(10, 1))
    assert float(augmentation.strength()) == pytest.approx(0.2)  # up after steps 2 and 4, down after 6
    assert float(AdaptiveAugment(batch=8)(views(), chance()).image.sub(views().image).abs().max()) < 1e-5


def test_unknown_policy_is_named() -> None:
    with pytest.raises(TrainingError, match="jitter"):
        DiffAugment(["colour", "jitter"])
