"""The objective of StyleGAN2, as DeepPrivacy2's generators were trained with it.

Sources: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020); Hukkelås and Lindseth,
"DeepPrivacy2: Towards Realistic Full-Body Anonymization" (WACV 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dp2.data.batch import Batch
from dp2.models.stylegan.style_net import Styled
from dp2.training.augmentation.augment import Augmentation, Views
from dp2.training.objectives.conditions import Painter
from dp2.training.objectives.losses import discriminator_loss, epsilon_penalty, generator_loss, path_lengths, r1_penalty
from dp2.training.objectives.objective import Losses, Phase


@dataclass(frozen=True, kw_only=True)
class PathLength:
    """Regularisation of the generator by the length of its Jacobian.

    Attributes:
        weight: of the penalty; published 0 here and 2 in StyleGAN2.
        interval: steps from one to the next; the penalty counts as often.
        shrink: by which the batch is cut, to save memory.
        decay: of the running mean that lengths are held to.
    """

    weight: float = 2.0
    interval: int = 4
    shrink: int = 2
    decay: float = 0.01


class StyleGAN2:
    """Phases "discriminator" (with lazy R1), "generator", and "path_length" where it is asked for.

    Args:
        generator: a `dp2.models.generator.Generator`.
        discriminator: as `dp2.models.stylegan.discriminator.StyleGAN2Discriminator`.
        r1: λ of λ/2 · ‖∂D/∂x‖².
        r1_interval: steps from one R1 to the next; it counts as often.
        epsilon: weight of the penalty on real logits.
        path_length: None = without.
        augmentation: of what the discriminator sees; None = nothing.
        surface: see `Conditions`.
        discriminator_embedding: whether the discriminator is shown the surface embedding too; published: not.

    A `dp2.training.objectives.objective.Objective`; `Paints`.
    """

    def __init__(
        self,
        *,
        generator: nn.Module,
        discriminator: nn.Module,
        r1: float,
        r1_interval: int = 16,
        epsilon: float = 0.001,
        path_length: PathLength | None = None,
        augmentation: Augmentation | None = None,
        surface: Tensor | None = None,
        discriminator_embedding: bool = False,
    ) -> None:
        self._generator: Any = generator
        self._discriminator: Any = discriminator
        self._r1 = r1
        self._r1_interval = r1_interval
        self._epsilon = epsilon
        self._path_length = path_length
        self._augmentation = augmentation
        self._painter = Painter(surface)
        self._shows_embedding = discriminator_embedding
        self._lengths = _Mean()

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Generator and discriminator; and what has buffers only, so that processes agree on them."""
        found = {"generator": self._generator, "discriminator": self._discriminator}
        if self._path_length is not None:
            found["path_length"] = self._lengths
        if self._augmentation is not None:
            found["augmentation"] = self._augmentation
        return found

    def phases(self, step: int) -> Sequence[Phase]:
        """As in `Objective`."""
        if self._augmentation is not None:
            self._augmentation.adapt(step)
        regularised = step % self._r1_interval == 0
        found = [
            Phase(
                "discriminator",
                ("discriminator",),
                self._with_r1 if regularised else self._without_r1,
                twice=regularised,
            ),
            Phase("generator", ("generator",), self._generator_losses),
        ]
        if self._path_length is not None and step % self._path_length.interval == 0:
            found.append(Phase("path_length", ("generator",), self._path_length_losses, twice=True))
        return found

    def paint(self, generator: nn.Module, batch: Batch, chance: torch.Generator) -> Tensor:
        """As in `Paints`."""
        return self._painter(generator, batch, chance)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: all of it is in the networks' buffers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As in `Objective`."""

    def _without_r1(self, batch: Batch, chance: torch.Generator) -> Losses:
        return self._discriminator_losses(batch, chance, regularised=False)

    def _with_r1(self, batch: Batch, chance: torch.Generator) -> Losses:
        return self._discriminator_losses(batch, chance, regularised=True)

    def _discriminator_losses(self, batch: Batch, chance: torch.Generator, *, regularised: bool) -> Losses:
        with torch.no_grad():
            painted = self.paint(self._generator, batch, chance)
        image = batch.real.requires_grad_(regularised)
        real, fake = self._logits(image, batch, chance), self._logits(painted, batch, chance)
        loss, drift = discriminator_loss(real, fake), epsilon_penalty(real)
        total = loss + self._epsilon * drift
        numbers = {"loss": loss, "epsilon_penalty": drift, "real": real, "fake": fake, "real_sign": real.sign()}
        if regularised:
            penalty = r1_penalty(real, image)
            total = total + self._r1 / 2 * self._r1_interval * penalty
            numbers["r1"] = penalty
        if self._augmentation is not None:
            self._augmentation.observe(real)
            numbers["augmentation"] = self._augmentation.strength()
        return Losses(total.mean(), {name: value.detach().float().mean() for name, value in numbers.items()})

    def _generator_losses(self, batch: Batch, chance: torch.Generator) -> Losses:
        z = torch.randn(len(batch), self._generator.z_channels, generator=chance, device=batch.image.device)
        w = self._generator.style(z)
        if isinstance(self._generator, Styled):
            self._generator.style_net.update_average(w)
        loss = generator_loss(self._logits(self._painter.paint(self._generator, batch, w), batch, chance))
        return Losses(loss.mean(), {"loss": loss.detach().mean()})

    def _path_length_losses(self, batch: Batch, chance: torch.Generator) -> Losses:
        settings = self._path_length or PathLength()
        batch = batch[: max(1, len(batch) // settings.shrink)]
        z = torch.randn(len(batch), self._generator.z_channels, generator=chance, device=batch.image.device)
        w = self._generator.style(z)
        image = self._painter.paint(self._generator, batch, w)
        noise = torch.randn(image.shape, generator=chance, device=image.device)
        lengths = path_lengths(image, w, noise)
        penalty = (lengths - self._lengths.follow(lengths, settings.decay)).square()
        numbers = {"penalty": penalty.detach().mean(), "length": lengths.detach().mean()}
        return Losses(penalty.mean() * settings.weight * settings.interval, numbers)

    def _logits(self, image: Tensor, batch: Batch, chance: torch.Generator) -> Tensor:
        """(N, 1). R1 regards the picture alone; the condition beside it is given."""
        extra = self._painter.embedding(batch) if self._shows_embedding else None
        views = Views(image.float(), batch.real * batch.keep, batch.keep, extra)
        if self._augmentation is not None:
            with torch.autocast(image.device.type, enabled=False):  # places of pixels are no halves
                views = self._augmentation(views, chance)
        given = () if views.extra is None else (views.extra,)
        logits: Tensor = self._discriminator(views.image, views.condition, views.mask, *given)
        return logits


class _Mean(nn.Module):
    """The running mean of path lengths: a buffer, so that it is saved and averaged over processes as buffers are."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    @torch.no_grad()
    def follow(self, lengths: Tensor, decay: float) -> Tensor:
        """The mean after these lengths."""
        self.mean.lerp_(lengths.detach().mean(), decay)
        return self.mean.clone()
