"""Latents as a pure function of (seed, identity)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LatentIndex = Callable[[int, int], int]


def hashed_index(seed: int, identity: int) -> int:
    """A 32-bit index: the same for one person through a run, unrelated for another person or seed."""
    digest = hashlib.blake2b(f"{seed}/{identity}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def latent(index: int, channels: int) -> NDArray[np.float32]:
    """(channels,) float32, standard normal, as DeepPrivacy2 draws it from an index in [0, 2^32)."""
    return np.random.RandomState(index).normal(size=channels).astype(np.float32)
