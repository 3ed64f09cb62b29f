"""What runs a generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dp2.synthesize.crops import Crop

Painted = list[NDArray[np.float32]]


class Backend(Protocol):
    """A generator in memory."""

    @property
    def z_channels(self) -> int:
        """Length of a latent."""

    @property
    def resolution(self) -> tuple[int, int]:
        """(height, width) of crops."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that crops must hold."""

    @property
    def out_of_memory(self) -> tuple[type[BaseException], ...]:
        """What `paint` raises where memory runs out."""

    def styles(self, z: NDArray[np.float32], truncation: float, centers: NDArray[np.int64] | None) -> Any:
        """(N, z_channels) float32 to (N, w_channels), in a form of its own; `centers` as `center_index` in
        `dp2.models.generator.Generator.style`."""

    def paint(self, crops: Sequence[Crop], styles: Any) -> Painted:
        """(h, w, 3) float32 in [0, 255] for each crop, not finite where the network's values are not."""

    def free(self) -> None:
        """Give cached memory back."""
