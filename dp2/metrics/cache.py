"""Keeps what was measured on real pictures, so that every checkpoint of a generator is compared with the same."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dp2.data.batch import Dataset
from dp2.data.sampler import sample_rng
from dp2.errors import OutputError
from dp2.sink.atomic import atomic_path

_PROBES = 16
_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """`FBA_METRICS_CACHE`, else below dp2's own folder."""
    from dp2.weights.settings import Settings

    given = os.environ.get("FBA_METRICS_CACHE")
    return Path(given).expanduser() if given else Settings.from_environment().home / "metrics"


@dataclass(frozen=True)
class Cache:
    """Named tensors by key, one safetensors file each.

    Args:
        folder: made when something is first kept; None = nothing is kept.
    """

    folder: Path | None = field(default_factory=default_folder)

    def load(self, *key: str) -> dict[str, Tensor] | None:
        """What was kept under this key; None = nothing, or it is damaged and has to be measured again."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            found: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError, ValueError):
            return None
        return found

    def store(self, tensors: Mapping[str, Tensor], *key: str) -> None:
        """Keep tensors under a key. A folder that cannot be written to costs only time; that is said in the log."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        path = self._path(key)
        if path is None:
            return
        try:
            with atomic_path(path, overwrite=True) as temporary:
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
        except (OutputError, OSError, SafetensorError) as error:
            _log.warning("what was measured on the real pictures is not kept: %s", error)

    def _path(self, key: tuple[str, ...]) -> Path | None:
        digest = hashlib.blake2b("\0".join(key).encode(), digest_size=16).hexdigest()
        return None if self.folder is None else self.folder / f"{digest}.safetensors"


def data_key(dataset: Dataset, settings: str, *, count: int, seed: int) -> str:
    """A key of the pictures of a run: what the config says of them, how many, and a look at some of them.

    Args:
        settings: the dataset's node of the config, as text.

    Raises:
        DatasetError: a sample cannot be read.
    """
    digest = hashlib.blake2b(f"{settings}/{len(dataset)}/{dataset.resolution}/{count}/{seed}".encode(), digest_size=16)
    for place in np.unique(np.linspace(0, count - 1, min(_PROBES, count)).astype(int)):
        sample = dataset.sample(int(place) * len(dataset) // count, sample_rng(seed, int(place)))
        digest.update(sample.image.contiguous().numpy().tobytes())
        digest.update(sample.mask.to(torch.uint8).contiguous().numpy().tobytes())
    return digest.hexdigest()
