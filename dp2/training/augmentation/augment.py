"""Differentiable augmentation of what a discriminator sees, so that few pictures do not become known by heart.

Sources: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (NeurIPS 2020); Karras et al.,
"Training Generative Adversarial Networks with Limited Data" (NeurIPS 2020), sections 2.2 and 3, appendix B. There
pictures are resampled with a wavelet filter; here bilinearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import pi

import torch
from torch import Tensor, nn

from dp2.errors import TrainingError
from dp2.training.augmentation.warps import colour_matrix, cut_out, flip, move, rotate, scale, shifted, warp


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What a discriminator sees.

    Attributes:
        image: (N, 3, H, W) in [-1, 1].
        condition: (N, 3, H, W): the picture with 0 in the hole.
        mask: (N, 1, H, W): 1 = kept, 0 = hole.
        extra: (N, E, H, W) further maps, or None.
    """

    image: Tensor
    condition: Tensor
    mask: Tensor
    extra: Tensor | None = None

    def moved(self, change: Callable[[Tensor], Tensor]) -> Views:
        """Each map after the same geometric change."""
        return Views(
            change(self.image),
            change(self.condition),
            change(self.mask),
            None if self.extra is None else change(self.extra),
        )


class Augmentation(nn.Module):
    """What the objective asks of an augmentation; of itself it changes nothing.

    Geometry moves all views alike; colours change picture and condition alike, and the hole of the condition stays 0.
    """

    def forward(self, views: Views, chance: torch.Generator) -> Views:  # noqa: ARG002
        """The same samples, augmented; differentiable twice."""
        return views

    def observe(self, logits: Tensor) -> None:
        """Take note of (N, 1) logits of real pictures."""

    def adapt(self, step: int) -> None:
        """Called before each step."""

    def strength(self) -> Tensor:
        """() for the log."""
        return torch.ones(())


class DiffAugment(Augmentation):
    """Every sample is shifted, recoloured and cut into.

    Args:
        policy: of "colour", "translation", "cutout".

    Raises:
        TrainingError: there is no such policy.
    """

    def __init__(self, policy: Sequence[str] = ("colour", "translation", "cutout")) -> None:
        super().__init__()
        known = {"colour": _recoloured, "translation": _translated, "cutout": _cut}
        unknown = [name for name in policy if name not in known]
        if unknown:
            raise TrainingError(f"DiffAugment knows {', '.join(known)}, not {', '.join(unknown)}.")
        self._steps = [known[name] for name in policy]

    def forward(self, views: Views, chance: torch.Generator) -> Views:
        """As in `Augmentation`."""
        for step in self._steps:
            views = step(views, chance)
        return views


class AdaptiveAugment(Augmentation):
    """Every change befalls a sample with a probability that follows how sure the discriminator is of real pictures.

    Args:
        batch: images of a step.
        target: of the mean sign of real logits; above it the probability rises.
        interval: steps between adaptations.
        ramp: images in which the probability can go from 0 to 1.
        initial: probability at the start.

    The state lies in buffers, so that it is saved, and averaged over processes, as buffers are.
    """

    probability: Tensor
    signs: Tensor
    updates: Tensor

    def __init__(
        self, *, batch: int, target: float = 0.6, interval: int = 4, ramp: int = 500_000, initial: float = 0.0
    ) -> None:
        super().__init__()
        self._target = target
        self._interval = interval
        self._change = batch * interval / ramp
        self.register_buffer("probability", torch.tensor(float(initial)))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("updates", torch.zeros(()))

    def forward(self, views: Views, chance: torch.Generator) -> Views:
        """As in `Augmentation`."""
        draw = _Draw(len(views.image), float(self.probability), chance, views.image.device)
        matrix = self._geometry(draw, *views.image.shape[2:])
        views = views.moved(lambda maps: warp(maps, matrix))
        mixed, offset = self._colours(draw)  # (N, 3, 3), (N, 3)
        return replace(
            views,
            image=_mix(views.image, mixed, offset, torch.ones_like(views.mask)),
            condition=_mix(views.condition, mixed, offset, views.mask),
        )

    @torch.no_grad()
    def observe(self, logits: Tensor) -> None:
        """As in `Augmentation`."""
        self.signs += logits.float().sign().mean()
        self.updates += 1

    @torch.no_grad()
    def adapt(self, step: int) -> None:
        """As in `Augmentation`."""
        if step % self._interval or not bool(self.updates > 0):
            return
        direction = (self.signs / self.updates - self._target).sign()
        self.probability.copy_((self.probability + direction * self._change).clamp(0, 1))
        self.signs.zero_()
        self.updates.zero_()

    def strength(self) -> Tensor:
        """As in `Augmentation`."""
        return self.probability.clone()

    def _geometry(self, draw: _Draw, height: int, width: int) -> Tensor:
        """(N, 3, 3): from pixels of the result to pixels of the picture, both counted from the centre."""
        turning = 1 - (1 - draw.probability) ** 0.5  # two rotations, each with the probability that gives p together
        matrix = flip(draw.happens())
        matrix = matrix @ move(
            draw.uniform(-width / 8, width / 8).round(), draw.uniform(-height / 8, height / 8).round()
        )
        zoom = draw.log_normal(0.2)
        matrix = matrix @ scale(zoom, zoom)
        matrix = matrix @ rotate(draw.uniform(-pi, pi, turning))
        stretch = draw.log_normal(0.2)
        matrix = matrix @ scale(stretch, 1 / stretch)
        matrix = matrix @ rotate(draw.uniform(-pi, pi, turning))
        return matrix @ move(draw.normal(0.125) * width, draw.normal(0.125) * height)

    def _colours(self, draw: _Draw) -> tuple[Tensor, Tensor]:
        """What each pixel's colours are multiplied by, and what is added."""
        offset = draw.normal(0.2)[:, None].expand(-1, 3)
        contrast = draw.log_normal(0.5)
        matrix = colour_matrix(draw.happens(), draw.uniform(-pi, pi), draw.log_normal(1.0))
        matrix = matrix * contrast[:, None, None]
        return matrix, torch.einsum("nij,nj->ni", matrix, offset)


@dataclass(frozen=True)
class _Draw:
    """Draws a value a sample; with probability 1 − p it is the one that changes nothing."""

    count: int
    probability: float
    chance: torch.Generator
    device: torch.device

    def happens(self, probability: float | None = None) -> Tensor:
        """(N,) bool."""
        limit = self.probability if probability is None else probability
        return torch.rand(self.count, generator=self.chance, device=self.device) < limit

    def uniform(self, low: float, high: float, probability: float | None = None) -> Tensor:
        """(N,) in [low, high), else 0."""
        happens = self.happens(probability)
        return (torch.rand(self.count, generator=self.chance, device=self.device) * (high - low) + low) * happens

    def normal(self, sigma: float) -> Tensor:
        """(N,) else 0."""
        happens = self.happens()
        return torch.randn(self.count, generator=self.chance, device=self.device) * sigma * happens

    def log_normal(self, sigma: float) -> Tensor:
        """(N,) 2 to the power of a normal value, else 1."""
        return torch.exp2(self.normal(sigma))


def _mix(maps: Tensor, matrix: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    """matrix · colour + offset · weight for each pixel of (N, 3, H, W)."""
    mixed: Tensor = torch.einsum("nij,njhw->nihw", matrix.to(maps.dtype), maps)
    return mixed + offset.to(maps.dtype)[:, :, None, None] * weight


def _recoloured(views: Views, chance: torch.Generator) -> Views:
    """Brightness ± ½, saturation × 0 to 2, contrast × ½ to 1½ around the picture's mean."""
    count, device = len(views.image), views.image.device
    brightness, saturation, contrast = torch.rand(3, count, 1, 1, 1, generator=chance, device=device)
    bright = views.image + (brightness - 0.5)
    grey = bright.mean(dim=1, keepdim=True)
    middle = bright.mean(dim=[1, 2, 3], keepdim=True)

    def changed(maps: Tensor, grey: Tensor, middle: Tensor) -> Tensor:
        coloured: Tensor = (maps - grey) * (2 * saturation) + grey
        contrasted: Tensor = (coloured - middle) * (contrast + 0.5) + middle
        return contrasted

    # The condition changes as the picture does, but it is given: no gradient reaches the picture through it.
    condition = views.condition + (brightness - 0.5) * views.mask
    condition = changed(condition, condition.mean(dim=1, keepdim=True), middle.detach() * views.mask)
    return replace(views, image=changed(bright, grey, middle), condition=condition)


def _translated(views: Views, chance: torch.Generator) -> Views:
    """By up to an eighth of each side; what comes in is black and kept."""
    count, (height, width) = len(views.image), views.image.shape[2:]
    place = torch.rand(2, count, generator=chance, device=views.image.device) * 2 - 1
    down, right = (place[0] * height / 8).round().long(), (place[1] * width / 8).round().long()
    moved = views.moved(lambda maps: shifted(maps, down, right))
    return replace(moved, mask=shifted(views.mask - 1, down, right) + 1)


def _cut(views: Views, chance: torch.Generator) -> Views:
    """A rectangle of half of each side, around any place, becomes black."""
    place = torch.rand(2, len(views.image), generator=chance, device=views.image.device)
    stays = cut_out(views.mask, place[0], place[1])
    return replace(views, image=views.image * stays, condition=views.condition * stays)
