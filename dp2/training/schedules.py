"""Learning rates over a run, as factors of the configured one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi

from dp2.errors import TrainingError

Schedule = Callable[[int], float]
"""From the images seen so far to a factor in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The configured rate from the first image to the last."""

    def __call__(self, images: int) -> float:  # noqa: ARG002
        return 1.0


@dataclass(frozen=True, kw_only=True)
class WarmupDecay:
    """Linear up over `warmup` images; then level; then down along a half cosine to `final` at `images`.

    Args:
        images: at which the decay ends; beyond it the factor is `final`.
        warmup: images of the rise; 0 = none.
        decay: images of the fall, the last ones before `images`.
        final: factor at the end.

    Raises:
        TrainingError: rise and fall do not fit into the run.
    """

    images: int
    warmup: int = 0
    decay: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        if min(self.warmup, self.decay) < 0 or self.warmup + self.decay > self.images:
            raise TrainingError(f"a warm-up of {self.warmup} and a decay of {self.decay} exceed {self.images} images.")

    def __call__(self, images: int) -> float:
        rise = min(1.0, (images + 1) / self.warmup) if self.warmup else 1.0
        left = max(0, self.images - images)
        if left >= self.decay:
            return rise
        done = 1 - left / self.decay
        return rise * (self.final + (1 - self.final) * (1 + cos(pi * done)) / 2)


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Linear up over `warmup` images; then one level after another; the last one falls linearly to a tenth of itself.

    Args:
        lengths: of the stages, in images.
        factors: one a stage.
        warmup: images of the rise; 0 = none.

    Raises:
        TrainingError: there is not one factor a stage.
    """

    lengths: Sequence[int]
    factors: Sequence[float]
    warmup: int = 0

    def __post_init__(self) -> None:
        if len(self.lengths) != len(self.factors) or not self.lengths:
            raise TrainingError(f"{len(self.lengths)} lengths of stages need as many factors, not {len(self.factors)}.")

    def __call__(self, images: int) -> float:
        rise = min(1.0, (images + 1) / self.warmup) if self.warmup else 1.0
        start = 0
        for length, factor in zip(self.lengths[:-1], self.factors[:-1], strict=True):
            if images < start + length:
                return rise * factor
            start += length
        done = min(1.0, max(0.0, (images - start) / max(1, self.lengths[-1])))
        return rise * self.factors[-1] * (1 - 0.9 * done)
