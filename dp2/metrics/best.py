"""A metric as the measure by which training marks its best checkpoint."""

from __future__ import annotations

from torch import Tensor, nn

from dp2.data.batch import Dataset
from dp2.metrics.evaluate import Settings, evaluate
from dp2.metrics.metric import Metric
from dp2.metrics.painter import Painter


class BestBy:
    """The first number of a metric, the same samples and latents at every checkpoint, so that numbers compare.

    A `dp2.training.measure.Measure`. With several processes the leader measures and the others wait: keep it short.

    Args:
        name: as the log shows it, e.g. "fid_like".
        metric: any of `dp2.metrics`; where higher is better, its number is negated.
        data: for validation.
        limit: only so many samples, spread evenly; None = all.
        batch_size: pictures at a time.
        seed: of latents and of chance in the data.
        surface: see `Painter`.
    """

    def __init__(
        self,
        *,
        name: str,
        metric: Metric,
        data: Dataset,
        limit: int | None = 1000,
        batch_size: int = 16,
        seed: int = 0,
        surface: Tensor | None = None,
    ) -> None:
        self.name = name
        self._metric, self._data, self._surface = metric, data, surface
        self._settings = Settings(batch_size=batch_size, limit=limit, seed=seed)

    def __call__(self, generator: nn.Module) -> float:
        """Lower is better; not finite where there was too little to measure.

        Raises:
            DatasetError, TrainingError: see `evaluate`.
        """
        device = next(generator.parameters()).device
        painter = Painter(generator, device, seed=self._settings.seed, surface=self._surface)
        result = evaluate(self._data, painter, {self.name: self._metric}, self._settings)[0]
        return -result.value if result.better == "higher" else result.value
