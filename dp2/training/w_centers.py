"""Centres of clusters of styles, for multi-modal truncation.

Sources: Mokady et al., "Self-Distilled StyleGAN: Towards Generation from Internet Photos" (SIGGRAPH 2022) for
truncation towards the centre of a cluster; there, 60,000 styles are clustered by the looks of their pictures. Clustered
here are the styles themselves, as in DeepPrivacy2 (tools/compute_cluster_means.py), which makes 512 centres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dp2.errors import UsageError

_CHUNK = 4096


def random_styles(network: Any, count: int = 60_000, *, seed: int = 0) -> Tensor:
    """(count, w_channels) float32 on the CPU: styles of latents that depend on the seed alone.

    Args:
        network: as `dp2.models.generator.Generator`, in evaluation mode.
    """
    device = next(network.parameters()).device
    rng = np.random.RandomState(seed)
    parts = []
    with torch.inference_mode():
        for start in range(0, count, _CHUNK):
            z = rng.normal(size=(min(_CHUNK, count - start), network.z_channels)).astype(np.float32)
            parts.append(network.style(torch.from_numpy(z).to(device)).float().cpu())
    return torch.cat(parts)


def k_means(points: Tensor, clusters: int, *, seed: int = 0, iterations: int = 50) -> Tensor:
    """Lloyd's algorithm from the start of k-means++ (Arthur and Vassilvitskii, SODA 2007).

    A cluster that runs empty goes on from the point that is farthest from its centre.

    Args:
        points: (N, C) float32.
        clusters: M ≤ N.
        seed: of the start; everything else is fixed.
        iterations: at most; it ends earlier when nothing moves.

    Returns:
        (M, C) float32, the largest cluster first.

    Raises:
        UsageError: there are fewer points than clusters, or less than one cluster.
    """
    if not 1 <= clusters <= len(points):
        raise UsageError(f"{clusters} clusters cannot be made of {len(points)} styles.")
    points = points.float()
    centres = _start(points, clusters, np.random.RandomState(seed))
    members = torch.zeros(clusters, dtype=torch.int64)
    for _ in range(iterations):
        nearest, gaps = _assign(points, centres)
        members = nearest.bincount(minlength=clusters)
        sums = torch.zeros(clusters, points.shape[1], dtype=torch.float64)
        sums.index_add_(0, nearest, points.double())
        moved = (sums / members.clamp(min=1)[:, None]).float()
        empty = (members == 0).nonzero()[:, 0]
        moved[empty] = points[gaps.argsort(descending=True, stable=True)[: len(empty)]]
        if torch.equal(moved, centres):
            break
        centres = moved
    order = _assign(points, centres)[0].bincount(minlength=clusters).argsort(descending=True, stable=True)
    return centres[order]


def _start(points: Tensor, clusters: int, rng: np.random.RandomState) -> Tensor:
    """Points far from each other: each next one is drawn in proportion to its squared distance from the others."""
    chosen = [int(rng.randint(len(points)))]
    lengths = points.square().sum(dim=1)

    def gaps_to(index: int) -> Tensor:
        found = (lengths - 2 * (points @ points[index]) + lengths[index]).clamp(min=0)
        found[index] = 0  # whatever rounding made of it: no point is drawn twice
        return found

    gaps = gaps_to(chosen[0])
    for _ in range(clusters - 1):
        reach = gaps.double().cumsum(0)
        place = int(torch.searchsorted(reach, torch.tensor(rng.uniform() * float(reach[-1]))))
        chosen.append(min(place, len(points) - 1))
        gaps = torch.minimum(gaps, gaps_to(chosen[-1]))
    return points[chosen].clone()


def _assign(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) index of the nearest centre, and (N,) squared distance to it."""
    lengths = centres.square().sum(dim=1)
    found, gaps = [], []
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK]
        gap, index = (lengths - 2 * part @ centres.T).min(dim=1)
        found.append(index)
        gaps.append((gap + part.square().sum(dim=1)).clamp(min=0))
    return torch.cat(found), torch.cat(gaps)


def write_with_centers(checkpoint: Path, centers: Tensor, output: Path, *, overwrite: bool) -> None:
    """The averaged generator of a checkpoint and its centres, where `dp2.weights.loading.generator_state` finds them.

    Raises:
        WeightsError: the checkpoint cannot be read.
        OutputError: the output exists, or cannot be written.
    """
    from safetensors.torch import save_file

    from dp2.sink.atomic import atomic_path
    from dp2.weights.loading import generator_state, load_checkpoint

    state, _ = generator_state(load_checkpoint(checkpoint), str(checkpoint))
    tensors = {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    with atomic_path(output, overwrite=overwrite) as temporary:
        save_file({**tensors, "w_centers": centers.contiguous()}, temporary)
