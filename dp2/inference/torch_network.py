"""Networks of detectors from their checkpoints, with every key of the file accounted for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dp2.inference.lazy_network import LazyNetwork

if TYPE_CHECKING:
    import torch
    from torch import nn

# On CPUs bfloat16 changes scores by 2 to 4 %, and torch has nothing finer that is fast: see benchmarks/README.md
_HALVED = ("cuda",)


def half_precision(amp: bool | None, device: torch.device) -> AbstractContextManager[Any]:
    """Half precision inside, where it is wanted and the device gains by it: float16, the finer of the two kinds."""
    import torch

    if amp and device.type in _HALVED:
        return torch.autocast(device.type, torch.float16)
    return nullcontext()


def lazy_network(
    build: Callable[[], nn.Module], weights: str, device: str, prepare: Callable[[nn.Module], nn.Module] | None = None
) -> LazyNetwork[nn.Module]:
    """A network that is looked for now and loaded, ready for inference, when it is first asked for.

    Args:
        build: the network without its weights; called only then, so that torch is imported only then.
        weights: registry name or file.
        device: "auto", "cpu", "cuda", …
        prepare: called last with the network on its device, e.g. to fold norms.

    Raises:
        UsageError: no such name or file.
        MissingWeights: the checkpoint is not on this machine.
    """

    def load(path: Path, place: torch.device) -> nn.Module:
        from dp2.weights.loading import load_checkpoint, load_strict, network_state
        from dp2.weights.registry import entries

        known = entries()
        leftovers = known[weights].leftovers if weights in known else ()
        network = build()
        load_strict(network, network_state(load_checkpoint(path), str(path)), leftovers, str(path))
        ready = network.eval().requires_grad_(False).to(place)
        return ready if prepare is None else prepare(ready)

    return LazyNetwork(weights, device, load)
