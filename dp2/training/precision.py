"""In which numbers a step is computed. Weights, averages and optimizers stay in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from dp2.errors import TrainingError
from dp2.inference.device import amp_dtype

_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_AUTO = "auto"


@dataclass(frozen=True)
class Precision:
    """Mixed precision by name.

    Args:
        name: fp32, bf16 (range of float32: nothing to scale), fp16 (losses are scaled, steps that overflow skipped), or
            auto: what the device gains from.
        device: where the run computes.

    Raises:
        TrainingError: no such precision.
    """

    name: str
    device: torch.device

    def __post_init__(self) -> None:
        if self.name not in (*_TYPES, _AUTO):
            raise TrainingError(f"precision is one of {', '.join(_TYPES)}, {_AUTO}, not {self.name}.")

    @property
    def dtype(self) -> torch.dtype | None:
        """Of convolutions and products; None = float32."""
        return amp_dtype(self.device, None) if self.name == _AUTO else _TYPES[self.name]

    def autocast(self) -> AbstractContextManager[None]:
        """Around a forward pass."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Of one phase. It does nothing except in fp16."""
        half = self.dtype == torch.float16
        return torch.amp.GradScaler(self.device.type, enabled=half, growth_factor=4.0, growth_interval=100)


@contextmanager
def settled_backends(device: torch.device) -> Iterator[None]:
    """Process-wide settings of torch that training gains from, for as long as it lasts."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark
    flushed = not bool(torch.tensor([1e-40]).mul(1).item())
    # Numbers too small for the normal format take a CPU a hundred times as long, and shrinking gradients are full of
    # them: without this a trial ran at 10 images/s instead of 111.
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        products.allow_tf32 = convolutions.allow_tf32 = convolutions.benchmark = True
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark = before
