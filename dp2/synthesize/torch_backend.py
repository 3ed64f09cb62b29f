"""PyTorch as what runs a generator, on some device, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dp2.inference.device import amp_dtype
from dp2.models.generator import Generator
from dp2.synthesize.backend import Painted
from dp2.synthesize.crops import Crop


class TorchBackend:
    """A `Backend`: a network on a device.

    Args:
        network: in evaluation mode, on the CPU.
        device: where to run it.
        amp: mixed precision; None = where the machine gains.
        compiled: use torch.compile; the first batch of each size takes long.
    """

    def __init__(self, network: Generator, device: torch.device, *, amp: bool | None, compiled: bool) -> None:
        self._device = device
        self._dtype = amp_dtype(device, amp)
        self._network = network.to(device).for_inference(self._dtype or torch.float32)  # type: ignore[attr-defined]
        self._forward = torch.compile(self._network) if compiled else self._network
        self.z_channels = int(network.z_channels)
        self.resolution, self.conditions = network.resolution, network.conditions
        self.out_of_memory: tuple[type[BaseException], ...] = (torch.OutOfMemoryError, MemoryError)

    @torch.inference_mode()
    def styles(self, z: NDArray[np.float32], truncation: float, centers: NDArray[np.int64] | None) -> Tensor:
        """As in `Backend`."""
        index = None if centers is None else torch.from_numpy(centers)
        style: Tensor = self._network.style(
            torch.from_numpy(z).to(self._device), truncation=truncation, center_index=index
        )
        return style

    @torch.inference_mode()
    def paint(self, crops: Sequence[Crop], styles: Tensor) -> Painted:
        """As in `Backend`."""
        condition, mask, extra = stacked(crops, self.conditions)
        condition = condition.to(self._device, memory_format=torch.channels_last)
        mask = mask.to(self._device, memory_format=torch.channels_last)
        extra = {name: value.to(self._device) for name, value in extra.items()}
        return to_pixels(self._forward(condition, mask, w=styles, **extra))

    def free(self) -> None:
        """As in `Backend`."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def stacked(crops: Sequence[Crop], names: Sequence[str]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Crops as inputs: condition (N, 3, h, w) in [-1, 1] and 0 in the hole, mask (N, 1, h, w), and those of the crops'
    conditions that the generator names: crops may hold more."""
    keep = torch.from_numpy(np.stack([crop.keep for crop in crops]))[:, None]
    images = torch.from_numpy(np.stack([crop.image for crop in crops])).permute(0, 3, 1, 2)
    known = torch.where(keep, (images.float() - 127.5) / 127.5, 0.0)
    extra = {name: torch.from_numpy(np.stack([crop.conditions[name] for crop in crops])) for name in names}
    return known, keep.float(), extra


def to_pixels(image: Tensor) -> Painted:
    """(N, 3, h, w) around [-1, 1] to (h, w, 3) float32 in [0, 255]; what is not finite stays so."""
    pixels = (image.float() + 1).div(2).clamp(0, 1).mul(255)  # clamp passes NaN on, but hides infinities
    pixels = torch.where(torch.isfinite(image), pixels, torch.nan)
    return list(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
