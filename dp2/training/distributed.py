"""Several processes that train one network, started by `torchrun`: gradients and buffers are averaged by hand.

Plain all-reduce and no wrapper: a step has several phases, each for other networks, some with double backward.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dp2.errors import TrainingError
from dp2.inference.device import pick_device

_PATIENCE = timedelta(hours=2)  # torch's 10 minutes are short where the leader measures, or many share a slow disk


@dataclass(frozen=True)
class Group:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: of this process.
        world: how many there are.
        device: of this process.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over processes. All give the same shapes in the same order."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, total in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.world == 1:
            return flag
        flags = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(flags)
        return bool(flags.item() > 0)

    def leaders(self, number: int) -> int:
        """The leader's value of a number that each process has."""
        if self.world == 1:
            return number
        held = torch.tensor([number], device=self.device)
        dist.broadcast(held, src=0)
        return int(held.item())

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the leader's values."""
        if self.world == 1:
            return
        with torch.no_grad():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def gathered(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        """What each process holds, by rank."""
        if self.world == 1:
            return [value]
        all_values: list[Any] = [None] * self.world
        dist.all_gather_object(all_values, value)
        return all_values

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that torchrun started; alone without it.

    Args:
        device: "auto", "cpu", "cuda", …; with CUDA each process of a machine takes a GPU of its own.

    Raises:
        TrainingError: fewer GPUs than processes.
        EngineError: no such device.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = pick_device(device)
    if world == 1:
        yield Group(0, 1, chosen)
        return
    if chosen.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise TrainingError(f"process {local} has no GPU; start at most {torch.cuda.device_count()} a machine.")
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        dist.destroy_process_group()
