"""Generators as ONNX files, and running them with ONNX Runtime or OpenVINO."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dp2.errors import EngineError
from dp2.inference.engine import load_engine
from dp2.inference.network import Network
from dp2.models.generator import TONE, Generator
from dp2.sink.atomic import atomic_path
from dp2.synthesize.backend import Painted
from dp2.synthesize.crops import Crop
from dp2.synthesize.torch_backend import stacked, to_pixels

_LARGEST_BATCH = 256


class _Positional(nn.Module):
    """A generator whose inputs come in a fixed order, as an exported graph takes them."""

    def __init__(self, generator: Generator, names: Sequence[str]) -> None:
        super().__init__()
        self.generator = generator
        self.names = tuple(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.generator(**dict(zip(self.names, inputs, strict=True)))


def export_onnx(generator: Generator, path: Path, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write a generator as an ONNX file with a free batch axis; styles are an input, so truncation stays outside.

    Args:
        generator: in evaluation mode on the CPU.
        path: the file.
        overwrite: replace an existing one.

    Returns:
        names of the inputs: condition (N, 3, h, w), mask (N, 1, h, w), w (N, W), and the generator's conditions. The
        output is `image` (N, 3, h, w).

    Raises:
        OutputError: it cannot be written.
    """
    inputs = example_inputs(generator, batch=2)
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    with atomic_path(path, overwrite=overwrite) as part, torch.inference_mode():
        program = torch.onnx.export(
            _Positional(generator, list(inputs)).eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=["image"],
            dynamic_shapes={"inputs": tuple({0: batch} for _ in inputs)},
            dynamo=True,
            verbose=False,
        )
        if program is None:
            raise EngineError(f"{path}: PyTorch exported nothing.")
        program.save(part, external_data=False)
    return tuple(inputs)


def example_inputs(generator: Generator, batch: int) -> dict[str, Tensor]:
    """Inputs of the right shapes, in the order of the exported graph."""
    height, width = generator.resolution
    z = torch.zeros(batch, generator.z_channels)
    of_face = 5 if TONE in generator.conditions else 7
    shapes = {
        "keypoints": (batch, 17 if generator.resolution[0] != generator.resolution[1] else of_face, 3),
        TONE: (batch, 3),
        "joint_map": (batch, 1, height, width),
        "silhouette": (batch, 1, height, width),
        "embedding": (batch, 17, height, width),
    }
    return {
        "condition": torch.zeros(batch, 3, height, width),
        "mask": torch.ones(batch, 1, height, width),
        "w": generator.style(z),
        **{name: torch.zeros(shapes[name]) for name in generator.conditions},
    }


class ExportedBackend:
    """A generator's export in an engine on the CPU; the small style network stays in PyTorch.

    Args:
        network: in evaluation mode, on the CPU.
        engine: one of `dp2.inference.engine.ENGINES`.

    Raises:
        EngineError: the engine is not installed or cannot load the network.
    """

    def __init__(self, network: Generator, engine: str) -> None:
        self._network = network
        self.z_channels = int(network.z_channels)
        self.resolution, self.conditions = network.resolution, network.conditions
        self.out_of_memory: tuple[type[BaseException], ...] = (MemoryError,)
        with tempfile.TemporaryDirectory(prefix="dp2-") as folder:
            path = Path(folder) / "generator.onnx"
            self._names = export_onnx(network, path)
            self._engine = load_engine(Network(path.read_bytes(), exact=True), engine=engine, device="cpu")

    @torch.inference_mode()
    def styles(self, z: NDArray[np.float32], truncation: float, centers: NDArray[np.int64] | None) -> Tensor:
        """As in `dp2.synthesize.backend.Backend`."""
        index = None if centers is None else torch.from_numpy(centers)
        return self._network.style(torch.from_numpy(z), truncation=truncation, center_index=index)

    def paint(self, crops: Sequence[Crop], styles: Tensor) -> Painted:
        """As in `dp2.synthesize.backend.Backend`."""
        condition, mask, extra = stacked(crops, self.conditions)
        tensors = {"condition": condition, "mask": mask, "w": styles, **extra}
        image = self._engine.run_named({name: tensors[name].contiguous().numpy() for name in self._names})[0]
        return to_pixels(torch.from_numpy(image))

    def free(self) -> None:
        """As in `dp2.synthesize.backend.Backend`; the engines hold no cache."""
