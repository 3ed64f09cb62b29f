"""Training of dp2's own face generator: a conditional autoencoder first, then a weak adversary.

Sources: Kingma and Welling, "Auto-Encoding Variational Bayes" (ICLR 2014), equation 10, and Sohn et al. (NeurIPS
2015) for the condition; Zhang et al., "The Unreasonable Effectiveness of Deep Features" (CVPR 2018) for losses between
features; Sauer et al., "Projected GANs Converge Faster" (NeurIPS 2021) for heads on a frozen network; Mescheder et
al. (ICML 2018) for R1; Shrivastava et al., "Learning from Simulated and Unsupervised Images" (CVPR 2017), section
2.3, for the pool of earlier pictures.
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
from dp2.models.portrait.critics import FrozenFeatures, PortraitDiscriminator, PortraitEncoder, Scores
from dp2.models.portrait.unet import PortraitUnet, landmark_maps, widened
from dp2.training.objectives.objective import Losses, Phase

_CELLS = 8  # a side, in which light and contrast are compared
_OTHER_LIGHT = 0.15  # of [-1, 1]
_MORE_CONTRAST = 0.08


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts of the loss.

    Attributes:
        pixels: mean absolute difference in the hole.
        rim: the same in a band around the hole, where the paste mixes both, as a share of `pixels`.
        features: mean absolute difference of frozen features.
        latent: Kullback-Leibler divergence of the encoder's latents from the prior, in nats.
        adversarial: of the adversary, where it takes part.
        heads: of the scores on frozen features, as a share of the adversary's own.
        coarse: of what random latents do to light and contrast, see `astray`, where the adversary takes part. With 4.0
            they come out cleaner and more alike; with a strong adversary and without it some come out garish.
        r1: gamma of the gradient penalty.
    """

    pixels: float = 4.0
    rim: float = 0.3
    features: float = 1.5
    latent: float = 0.0006
    adversarial: float = 0.05
    heads: float = 0.25
    coarse: float = 0.0
    r1: float = 0.1


class PortraitObjective:
    """First an autoencoder: the whole batch is reconstructed, with no adversary. From step `adversary_from` on half of
    the batch is reconstructed from the encoder's latent, and the other half, painted from random latents, meets only
    the adversary.

    Args:
        generator, encoder, discriminator: what is trained.
        features: frozen, with its weights loaded.
        weights: of the losses.
        adversary_from: first step with an adversary; None = never.
        alone: steps from there on in which only the discriminator learns.
        r1_every: steps.
        pool: earlier fakes that the discriminator goes on seeing.
    """

    def __init__(
        self,
        *,
        generator: PortraitUnet,
        encoder: PortraitEncoder,
        discriminator: PortraitDiscriminator,
        features: FrozenFeatures,
        weights: Weights | None = None,
        adversary_from: int | None = None,
        alone: int = 220,
        r1_every: int = 16,
        pool: int = 1024,
    ) -> None:
        self._weights = weights or Weights()
        self._generator, self._encoder, self._discriminator = generator, encoder, discriminator
        self._features = features.requires_grad_(False).eval()
        self._adversary_from, self._alone, self._r1_every = adversary_from, alone, r1_every
        self._pool = _Pool(pool)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """As in `Objective`; the frozen features are among them, so that they lie where the others do."""
        return {
            "generator": self._generator,
            "encoder": self._encoder,
            "discriminator": self._discriminator,
            "features": self._features,
        }

    def phases(self, step: int) -> Sequence[Phase]:
        """As in `Objective`."""
        trained = ("generator", "encoder")
        if self._adversary_from is None or step < self._adversary_from:
            return [Phase("generator", trained, self._autoencoder_losses)]
        phases = [Phase("discriminator", ("discriminator",), self._discriminator_losses)]
        if step % self._r1_every == 0:
            phases.append(Phase("r1", ("discriminator",), self._r1_losses, twice=True))
        if step >= self._adversary_from + self._alone:
            phases.append(Phase("generator", trained, self._generator_losses))
        return phases

    def state_dict(self) -> dict[str, Any]:
        """As in `Objective`."""
        return self._pool.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As in `Objective`."""
        self._pool.load_state_dict(state)

    def paint(self, generator: nn.Module, batch: Batch, chance: torch.Generator) -> Tensor:
        """As in `Paints`."""
        z = _noise(len(batch), self._generator.z_channels, chance, batch.image)
        painted: Tensor = generator(
            batch.real * batch.keep, batch.keep, z=z, keypoints=batch.keypoints, tone=batch.tone
        )
        return painted

    def _autoencoder_losses(self, batch: Batch, rng: torch.Generator) -> Losses:
        total, numbers, _, _ = self._reconstructed(self._see(batch), len(batch), rng)
        return Losses(total, numbers)

    def _generator_losses(self, batch: Batch, rng: torch.Generator) -> Losses:
        seen = self._see(batch)
        known, weights = len(batch) // 2, self._weights
        total, numbers, composed, features = self._reconstructed(seen, known, rng)
        scores = self._discriminator(composed, seen.hole, seen.maps, features[1:])
        fooled = self._fooled(scores, seen.hole)
        total, numbers = total + weights.adversarial * fooled, {**numbers, "adversarial": fooled.detach()}
        if weights.coarse:
            coarse = astray(composed[known:], seen.real[known:], seen.hole[known:])
            total, numbers = total + weights.coarse * coarse, {**numbers, "coarse": coarse.detach()}
        return Losses(total, numbers)

    def _reconstructed(
        self, seen: _Seen, known: int, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], Tensor, list[Tensor]]:
        """Loss of the first `known` samples, numbers for the log, and all composed pictures with their features."""
        painted, mean, log_variance = self._paint(seen, known, rng)
        weight, weights = seen.weight[:known], self._weights
        pixels = ((painted - seen.real)[:known].abs() * weight).sum() / (weight.sum() * 3)
        composed = seen.compose(painted)
        features = self._features(composed)
        with torch.no_grad():
            wanted = self._features(seen.real[:known])
        pairs = zip(features, wanted, strict=True)
        perceived = torch.stack([(got[:known] - want).abs().float().mean() for got, want in pairs]).sum()
        latent = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
        total = weights.pixels * pixels + weights.features * perceived + weights.latent * latent
        numbers = {"pixels": pixels.detach(), "features": perceived.detach(), "latent": latent.detach()}
        return total, numbers, composed, features

    def _fooled(self, scores: Scores, hole: Tensor) -> Tensor:
        own, *heads = scores.patches
        loss = F.softplus(-scores.whole).mean() + within(F.softplus(-own), hole)
        return loss - self._weights.heads * torch.stack([within(head, hole) for head in heads]).sum()

    def _discriminator_losses(self, batch: Batch, rng: torch.Generator) -> Losses:
        seen = self._see(batch)
        own_told = torch.cat([seen.hole, seen.maps], 1)
        with torch.no_grad():
            fresh = seen.compose(self._paint(seen, len(batch) // 2, rng)[0])
            fake, fake_told = self._pool.mixed(fresh, own_told, rng)
            features = self._features(torch.cat([seen.real, fake]))[1:]
        told = torch.cat([own_told, fake_told])
        scores = self._discriminator(torch.cat([seen.real, fake]), told[:, :1], told[:, 1:], features)
        count = len(batch)
        hole, fake_hole = told[:count, :1], told[count:, :1]
        own, *heads = scores.patches
        loss = F.softplus(-scores.whole[:count]).mean() + F.softplus(scores.whole[count:]).mean()
        loss = loss + within(F.softplus(-own[:count]), hole) + within(F.softplus(own[count:]), fake_hole)
        hinges = [within(F.relu(1 - h[:count]), hole) + within(F.relu(1 + h[count:]), fake_hole) for h in heads]
        loss = loss + self._weights.heads * torch.stack(hinges).sum()
        numbers = {"real": scores.whole[:count].mean(), "fake": scores.whole[count:].mean()}
        return Losses(loss, {name: value.detach() for name, value in numbers.items()})

    def _r1_losses(self, batch: Batch, rng: torch.Generator) -> Losses:  # noqa: ARG002  nothing is drawn
        seen = self._see(batch[: max(8, len(batch) // 2)])
        real = seen.real.detach().requires_grad_()
        scores = self._discriminator(real, seen.hole, seen.maps)
        summed = scores.whole.sum() + scores.patches[0].mean((2, 3)).sum()
        (slope,) = torch.autograd.grad(summed, real, create_graph=True)
        penalty = slope.float().square().sum((1, 2, 3)).mean()
        return Losses(penalty * (0.5 * self._weights.r1 * self._r1_every), {"penalty": penalty.detach()})

    def _see(self, batch: Batch) -> _Seen:
        if batch.keypoints is None or batch.tone is None:
            raise TrainingError("the portrait objective needs samples with keypoints and tone.")
        real = batch.real.contiguous(memory_format=torch.channels_last)
        hole = 1 - batch.keep
        side = real.shape[-1]
        rim = widened(hole, side // 16) - hole
        maps = landmark_maps(batch.keypoints, side)
        return _Seen(real, hole, maps, hole + self._weights.rim * rim, batch.keypoints, batch.tone)

    def _paint(self, seen: _Seen, known: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Whole crops, the first `known` from the encoder's latents; and the means and log-variances of those."""
        mean, log_variance = self._encoder(seen.real[:known], seen.hole[:known], seen.maps[:known])
        noise = _noise(len(seen.real), self._generator.z_channels, rng, seen.real)
        z = torch.cat([mean + noise[:known] * (0.5 * log_variance).exp(), noise[known:]])
        keep = 1 - seen.hole
        w = self._generator.style(z)
        painted = self._generator.paint(seen.real * keep, keep, w, seen.keypoints, seen.tone)
        return painted.float(), mean, log_variance


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A batch as the losses see it: pictures, holes (1 = hole), landmark maps, weights of the pixels, conditions."""

    real: Tensor
    hole: Tensor
    maps: Tensor
    weight: Tensor
    keypoints: Tensor
    tone: Tensor

    def compose(self, painted: Tensor) -> Tensor:
        return self.real * (1 - self.hole) + painted * self.hole


class _Pool:
    """Earlier fakes, half of what the discriminator sees: the generator cannot win by running in circles."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._images: Tensor | None = None
        self._told: Tensor | None = None
        self._count = 0

    def mixed(self, fake: Tensor, told: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """A batch half fresh, half from the pool (once it is half full); takes fresh ones in."""
        if self._size == 0:
            return fake, told
        if self._images is None or self._told is None:
            self._images = torch.zeros((self._size, *fake.shape[1:]), dtype=torch.bfloat16, device=fake.device)
            self._told = torch.zeros((self._size, *told.shape[1:]), dtype=torch.bfloat16, device=fake.device)
        half = len(fake) // 2
        fresh, fresh_told = fake[-half:], told[-half:]
        if self._count >= self._size // 2:
            rows = torch.randint(min(self._count, self._size), (half,), generator=rng, device=rng.device).to(
                fake.device
            )
            quarter = half // 2
            fake = torch.cat([fake[:quarter], fake[half : half + half - quarter], self._images[rows].to(fake.dtype)])
            told = torch.cat([told[:quarter], told[half : half + half - quarter], self._told[rows].to(told.dtype)])
        if self._count >= self._size:
            places = torch.randint(self._size, (half,), generator=rng, device=rng.device).to(fake.device)
        else:
            places = torch.arange(self._count, self._count + half, device=fake.device) % self._size
        self._images[places], self._told[places] = fresh.bfloat16(), fresh_told.bfloat16()
        self._count = min(self._count + half, self._size)
        return fake, told

    def state_dict(self) -> dict[str, Any]:
        if self._images is None or self._told is None:
            return {"count": 0}
        return {"count": self._count, "images": self._images, "told": self._told}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._count = int(state["count"])
        if self._count:
            self._images, self._told = state["images"].clone(), state["told"].clone()


def within(scores: Tensor, hole: Tensor) -> Tensor:
    """() mean of (N, 1, h, w) scores over the (N, 1, H, W) hole."""
    share = F.interpolate(hole, size=scores.shape[-2:], mode="area")
    return (scores * share).sum() / share.sum().clamp(min=1e-6)


def astray(fake: Tensor, real: Tensor, hole: Tensor) -> Tensor:
    """() how far fakes leave the light and the contrast of what was there, beyond what another face may.

    Within cells of an eighth of the side, means may differ by `_OTHER_LIGHT` and deviations be larger by
    `_MORE_CONTRAST`.

    Args:
        fake, real: (N, 3, S, S) in [-1, 1].
        hole: (N, 1, S, S), 1 in the hole; cells with less than a quarter of it do not count.
    """
    cell = max(1, fake.shape[-1] // _CELLS)
    share = F.avg_pool2d(hole, cell)
    means, deviations = [], []
    for picture in (fake.float(), real.float()):
        mean = F.avg_pool2d(picture * hole, cell) / share.clamp(min=1e-3)
        square = F.avg_pool2d(picture.square() * hole, cell) / share.clamp(min=1e-3)
        means.append(mean)
        deviations.append((square - mean.square()).clamp(min=1e-4).sqrt())
    beyond = F.relu((means[0] - means[1]).abs() - _OTHER_LIGHT) + F.relu(deviations[0] - deviations[1] - _MORE_CONTRAST)
    counted = (share >= 0.25).float()
    return (beyond * counted).sum() / (3 * counted.sum()).clamp(min=1)


def _noise(count: int, channels: int, rng: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(count, channels, generator=rng, device=rng.device).to(like.device)
