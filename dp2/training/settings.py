"""What a config's `training` section makes: all that a run needs to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dp2.data.batch import Dataset
from dp2.errors import TrainingError
from dp2.training.logs import OpenLog
from dp2.training.measure import Measure
from dp2.training.objectives.objective import Objective
from dp2.training.optimizers import Recipe
from dp2.training.schedules import Constant, Schedule


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run tells and keeps; none of it changes what is trained. Intervals are in images.

    Attributes:
        log_every: between lines of the log.
        sheet_every: between sheets of samples.
        save_every: between checkpoints.
        keep: latest checkpoints that stay.
        sheet_data: whose samples sheets show; None = the training data.
        sheet_rows, sheet_latents: samples on a sheet, and latents of each.
        logs: opened beside the JSON-lines log: TensorBoard, wandb, …
        measure: run on the averaged generator at each checkpoint; its lowest value marks the best one.

    Raises:
        TrainingError: an interval or a number is below 1.
    """

    log_every: int = 1024
    sheet_every: int = 50_000
    save_every: int = 50_000
    keep: int = 3
    sheet_data: Dataset | None = None
    sheet_rows: int = 8
    sheet_latents: int = 4
    logs: Sequence[OpenLog] = ()
    measure: Measure | None = None

    def __post_init__(self) -> None:
        for name in ("log_every", "sheet_every", "save_every", "keep", "sheet_rows", "sheet_latents"):
            if getattr(self, name) < 1:
                raise TrainingError(f"training.report.{name} is {getattr(self, name)}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run.

    Attributes:
        objective: networks and losses.
        data: what is trained on.
        optimizers: by network: from its parameters to its optimizer.
        images: after which the run ends.
        batch: images of a step, over all processes and micro-batches.
        micro_batch: images that go through the networks at once; None = a process's share of the batch. Runs with
            the same micro-batch are the same run on any number of processes.
        schedule: factor on the rates.
        ema_half_life: of the generator's average, in images; None = 10 000 for a batch of 32, in proportion (as
            published).
        ema_rampup: see `ExponentialAverage`.
        precision: fp32, bf16, fp16 or auto.
        channels_last: memory layout of images and weights; faster on most machines.
        compile: use torch.compile.
        clip: bound on the norm of each network's gradient; None = none.
        seed: of every chance.
        initial: folder of an earlier run whose networks, as far as this one has them, are the initial weights; of the
            generator its average. None = random ones.
        device: "auto", "cpu", "cuda", …
        workers: processes that load data, for each training process.
        report: see `Report`.

    Raises:
        TrainingError: batch and micro-batch do not fit.
    """

    objective: Objective
    data: Dataset
    optimizers: Mapping[str, Recipe]
    images: int
    batch: int = 32
    micro_batch: int | None = None
    schedule: Schedule = field(default_factory=Constant)
    ema_half_life: float | None = None
    ema_rampup: float | None = 0.05
    precision: str = "fp32"
    channels_last: bool = False
    compile: bool = False
    clip: float | None = None
    seed: int = 0
    initial: str | None = None
    device: str = "auto"
    workers: int = 0
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        if self.batch < 1 or self.images < 1 or (self.micro_batch is not None and self.micro_batch < 1):
            raise TrainingError("batch, micro_batch and images are at least 1.")
        if self.seed < 0 or self.workers < 0:
            raise TrainingError("seed and workers are not negative.")

    def micro(self, world: int) -> int:
        """Images of a micro-batch on `world` processes.

        Raises:
            TrainingError: the batch cannot be shared evenly.
        """
        micro = self.micro_batch or max(1, self.batch // world)
        if self.batch % (world * micro):
            raise TrainingError(
                f"a batch of {self.batch} cannot be shared by {world} processes in micro-batches of {micro}."
            )
        return micro

    @property
    def half_life(self) -> float:
        """Of the average, in images."""
        return self.batch * 10_000 / 32 if self.ema_half_life is None else self.ema_half_life
