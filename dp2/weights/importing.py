"""Converts a published checkpoint to safetensors, once: quicker to read, and plain data from then on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dp2.errors import OutputError
from dp2.failures import said
from dp2.sink.atomic import atomic_path
from dp2.weights.loading import generator_state, network_state
from dp2.weights.readers import load_checkpoint
from dp2.weights.verify import digest


def import_checkpoint(source: Path, target: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write the network of a torch, detectron2 or safetensors file as safetensors.

    Of a training checkpoint only the averaged generator and its truncation centres (as `w_centers`) are kept, of others
    the network's table; optimizers, discriminators and counters are dropped. The sha256 of the source is noted in it.

    Args:
        source: any file that `load_checkpoint` reads; it is not changed.
        target: beside the source with the ending .safetensors where None, so that the store finds it.
        overwrite: replace an existing target.

    Returns:
        the file written.

    Raises:
        WeightsError: the source is missing, unsafe, damaged or holds no network.
        OutputError: the target exists or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = target or source.with_suffix(".safetensors")
    state = _network(load_checkpoint(source), str(source))
    # Tied weights become copies: safetensors holds each tensor on its own.
    owned = {key: tensor.detach().clone().contiguous() for key, tensor in state.items()}
    note = {"source": source.name, "source_sha256": digest(source, "sha256")}
    with atomic_path(target, overwrite=overwrite) as part:
        try:
            save_file(owned, part, metadata=note)
        except SafetensorError as error:  # it wraps what the system says
            full = "No space left" in str(error) or "too large" in str(error) or "quota" in str(error)
            raise OutputError(
                f"{target}: cannot be written ({'the disk is full' if full else said(error)}). Nothing was written."
            ) from error
    return target


def _network(checkpoint: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    if not {"EMA_generator", "running_average_generator", "parameters"} & checkpoint.keys():
        return network_state(checkpoint, source)
    state, centers = generator_state(checkpoint, source)
    return state if centers is None else {**state, "w_centers": centers}
