"""Chance that needs no state: a pure function of where it is used, so that a resumed run draws what it would have."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(*parts: int | str) -> int:
    """In [0, 2⁶³), from all parts; neighbouring parts give unrelated seeds."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seeded_generator(device: torch.device, *parts: int | str) -> torch.Generator:
    """A source of chance on a device.

    Micro-batches are numbered over all processes, so the same pictures meet the same noise on one process and on
    several.
    """
    generator = torch.Generator(device)
    generator.manual_seed(derived_seed(*parts))
    return generator
