"""Training of the harmonizer: a face's own rendering must become that face again; somebody else's must look real.

Sources: Lim and Ye, "Geometric GAN" (2017) for the hinge loss; Miyato et al. (ICLR 2018), as in the critic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dp2.data.batch import Batch
from dp2.errors import TrainingError
from dp2.models.harmonizer import Harmonizer, HarmonizerCritic
from dp2.training.objectives.objective import Losses, Phase
from dp2.training.objectives.portrait_vae import within

_SCALES = 4  # at which edges are compared
_FINE = 9  # pixels: finer than that is detail
_INSIDE = 3  # pixels from its rim, a rendering's detail counts


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts of the loss.

    Attributes:
        ring: of the pixels of the hole where nothing is drawn, beside 1 for the others.
        edges: differences of neighbouring pixels, at several scales.
        adversarial: of the critic.
        whole: of the critic's score for the whole, as a share of that for patches.
        detail: how far fine detail of somebody else's rendering is kept.
        colour: how far the coarse colour of somebody else's face is kept.
    """

    ring: float = 2.0
    edges: float = 2.0
    adversarial: float = 0.02
    whole: float = 0.5
    detail: float = 0.5
    colour: float = 0.2


class HarmonizeObjective:
    """Samples of the face itself are reconstructed, all others meet only the critic.

    Args:
        generator: the harmonizer.
        critic: what it is trained against.
        weights: of the losses.
        critic_from: first step with the critic in the harmonizer's loss; it learns 100 steps before.
    """

    def __init__(
        self,
        *,
        generator: Harmonizer,
        critic: HarmonizerCritic,
        weights: Weights | None = None,
        critic_from: int = 0,
    ) -> None:
        self._generator, self._critic = generator, critic
        self._weights = weights or Weights()
        self._critic_from = critic_from

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """As in `Objective`."""
        return {"generator": self._generator, "critic": self._critic}

    def phases(self, step: int) -> Sequence[Phase]:
        """As in `Objective`."""
        judged = step >= self._critic_from
        painting = Phase("generator", ("generator",), self._judged if judged else self._alone)
        judging = Phase("critic", ("critic",), self._critic_losses)
        return [painting, judging] if step >= self._critic_from - 100 else [painting]

    def state_dict(self) -> dict[str, Any]:
        """As in `Objective`: nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As in `Objective`."""

    def paint(self, generator: nn.Module, batch: Batch, chance: torch.Generator) -> Tensor:  # noqa: ARG002
        """As in `Paints`."""
        seen = _see(batch)
        painted: Tensor = generator(seen.holed, seen.hole, seen.rendering, seen.drawn)
        return seen.composed(painted.float()) * 2 - 1

    def _alone(self, batch: Batch, rng: torch.Generator) -> Losses:  # noqa: ARG002
        seen = _see(batch)
        total, numbers = self._reconstruction(seen, self._paint(seen))
        return Losses(total, numbers)

    def _judged(self, batch: Batch, rng: torch.Generator) -> Losses:  # noqa: ARG002
        seen, weights = _see(batch), self._weights
        painted = self._paint(seen)
        total, numbers = self._reconstruction(seen, painted)
        patches, whole = self._critic(seen.composed(painted), seen.hole)
        fooled = -within(patches.float(), seen.hole) - weights.whole * whole.float().mean()
        total = total + weights.adversarial * fooled
        kept = _detail_lost(painted, seen)
        strayed = ((seen.mean(painted) - seen.tone).abs().mean(1) * seen.foreign).sum() / seen.foreign.sum().clamp(1)
        total = total + weights.detail * kept + weights.colour * strayed
        told = {"adversarial": fooled, "detail": kept, "colour": strayed}
        return Losses(total, {**numbers, **{name: value.detach() for name, value in told.items()}})

    def _reconstruction(self, seen: _Seen, painted: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        own = (1 - seen.foreign)[:, None, None, None]
        weight = seen.hole * own
        lost = (painted - seen.real) * weight * (1 + (self._weights.ring - 1) * (1 - seen.drawn))
        pixels = lost.abs().sum() / (3 * weight.sum()).clamp(min=1)
        edges = torch.stack([_edges(F.avg_pool2d(lost, 2**n) if n else lost) for n in range(_SCALES)]).sum()
        share = own.mean().clamp(min=0.05)
        return pixels + self._weights.edges * edges / share, {"pixels": pixels.detach(), "edges": edges.detach()}

    def _critic_losses(self, batch: Batch, rng: torch.Generator) -> Losses:  # noqa: ARG002
        seen = _see(batch)
        with torch.no_grad():
            fake = seen.composed(self._paint(seen))
        patches, whole = self._critic(torch.cat([seen.real, fake]), torch.cat([seen.hole, seen.hole]))
        count = len(batch)
        patches, whole, weight = patches.float(), whole.float(), self._weights.whole
        real = within(F.relu(1 - patches[:count]), seen.hole) + weight * F.relu(1 - whole[:count]).mean()
        fakes = within(F.relu(1 + patches[count:]), seen.hole) + weight * F.relu(1 + whole[count:]).mean()
        return Losses(real + fakes, {"real": real.detach(), "fake": fakes.detach()})

    def _paint(self, seen: _Seen) -> Tensor:
        painted: Tensor = self._generator(seen.holed, seen.hole, seen.rendering, seen.drawn)
        return painted.float()


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A batch as network and losses see it, in [0, 1]; `foreign` (N,)."""

    real: Tensor
    hole: Tensor
    rendering: Tensor
    drawn: Tensor
    tone: Tensor
    foreign: Tensor

    @property
    def holed(self) -> Tensor:
        return self.real * (1 - self.hole) + self.tone[:, :, None, None] * self.hole

    def composed(self, painted: Tensor) -> Tensor:
        return self.real * (1 - self.hole) + painted * self.hole

    def mean(self, painted: Tensor) -> Tensor:
        """(N, 3) of what is drawn."""
        return (painted * self.drawn).sum((2, 3)) / self.drawn.sum((2, 3)).clamp(min=1)


def _see(batch: Batch) -> _Seen:
    if batch.rendering is None or batch.drawn is None or batch.tone is None or batch.foreign is None:
        raise TrainingError("the harmonizer is trained on samples with a rendering and a tone.")
    layout = torch.channels_last
    return _Seen(
        real=(batch.image.float() / 255).contiguous(memory_format=layout),
        hole=1 - batch.keep,
        rendering=(batch.rendering.float() / 255).contiguous(memory_format=layout),
        drawn=batch.drawn.float(),
        tone=(batch.tone + 1) / 2,
        foreign=batch.foreign.float(),
    )


def _edges(lost: Tensor) -> Tensor:
    return (lost[..., 1:] - lost[..., :-1]).abs().mean() + (lost[..., 1:, :] - lost[..., :-1, :]).abs().mean()


def _detail_lost(painted: Tensor, seen: _Seen) -> Tensor:
    inside = -F.max_pool2d(-seen.drawn, 2 * _INSIDE + 1, 1, _INSIDE) * seen.foreign[:, None, None, None]
    lost = (_fine(painted) - _fine(seen.rendering)).abs() * inside
    return lost.sum() / (3 * inside.sum() + 1)


def _fine(picture: Tensor) -> Tensor:
    return picture - F.avg_pool2d(picture, _FINE, 1, _FINE // 2, count_include_pad=False)
