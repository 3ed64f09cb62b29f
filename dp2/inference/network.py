"""An ONNX network, and what every inference engine promises that runs one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dp2.inference.quantize import Ranges


@dataclass(frozen=True, slots=True)
class Chosen:
    """What runs a network.

    Attributes:
        engine: one of `dp2.inference.engine.ENGINES`, never "auto".
        version: of the engine.
        device: as the engine calls it: CPU, CUDAExecutionProvider, …
        precision: fp32, bf16 or int8.
    """

    engine: str
    version: str
    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.version} on {self.device}, {self.precision}"


@dataclass(frozen=True, slots=True)
class Network:
    """A serialised ONNX network.

    Attributes:
        model: the serialised ONNX file.
        outputs: names of the outputs, in the order in which they are returned; none = all, in the graph's order.
        pixels: whether `Engine.run` is fed (N, H, W, 3) uint8 images in [0, 255]; otherwise (N, C, H, W) float32.
            The network itself always takes (N, C, H, W) float32; an engine may fold the conversion into its graph.
        ranges: of the inputs of its convolutions, where it can be computed in 8 bits.
        together: whether a batch runs at once on the CPU, too: for crops, which are small. Frames run one by one.
        threads: None = as the engine thinks best. A network of few operations takes with two threads nearly as long as
            with one, so that the second is lost for what else there is to do.
        exact: computed in float32 unless another precision is named; otherwise the fastest precision of the CPU.
    """

    model: bytes
    outputs: tuple[str, ...] = ()
    pixels: bool = False
    ranges: Ranges | None = None
    together: bool = False
    threads: int | None = None
    exact: bool = False


class Engine(Protocol):
    """A loaded network. `run` may be called from any thread; calls wait for each other."""

    @property
    def chosen(self) -> Chosen:
        """Which engine, device and precision this is."""

    def run(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Outputs, each (N, …) float32, for a batch of the kind that `Network.pixels` says.

        For networks with one input and free batch and image axes.

        Raises:
            EngineError: the engine failed.
        """

    def run_named(self, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Outputs for the inputs by name, computed in one go, as they are.

        Raises:
            EngineError: the engine failed.
        """
