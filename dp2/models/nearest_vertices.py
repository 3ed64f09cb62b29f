"""Which vertex of a mesh is nearest to a point in the space of surface embeddings: exact, without trying them all.

Vertices are grouped around centres; the triangle inequality rules out groups that cannot hold a nearer one (Elkan 2003,
"Using the triangle inequality to accelerate k-means"). On the surface of a body a tenth of them is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_GROUPS = 128
_ROUNDS = 3  # of k-means: further ones gain less than they cost
_SLACK = 1e-4  # relative and absolute, far above float32's error in distances


@dataclass(frozen=True, eq=False)
class VertexIndex:
    """The vertices of a mesh, in groups of neighbours.

    Attributes:
        embeddings: (V, E) float32.
        groups: for each group the (M,) int64 places of its vertices, ascending, at least one.
        centres: (G, E) float32.
        radii: (G,) float32, the largest distance of a vertex from its group's centre.
    """

    embeddings: Tensor
    groups: tuple[Tensor, ...]
    centres: Tensor
    radii: Tensor

    def nearest(self, points: Tensor) -> Tensor:
        """For each of the points (P, E) float32 the place of the nearest vertex, (P,) int64; of equals the first."""
        distances = torch.cdist(points, self.centres)  # [P, G]
        search = _Search(self, points)
        own = distances.argmin(dim=1)
        for group in range(len(self.groups)):
            search.visit(group, (own == group).nonzero()[:, 0])
        possible = distances - self.radii  # no vertex of the group is nearer
        hopeful = possible <= search.reach()[:, None]
        hopeful[torch.arange(len(points), device=points.device), own] = False
        for group in range(len(self.groups)):
            rows = hopeful[:, group].nonzero()[:, 0]
            search.visit(group, rows[possible[rows, group] <= search.reach(rows)])
        return search.found


class _Search:
    """The nearest vertex of each point among the groups that were visited."""

    def __init__(self, index: VertexIndex, points: Tensor) -> None:
        self.index = index
        self.points = points
        self.found = torch.full((len(points),), len(index.embeddings), dtype=torch.int64, device=points.device)
        # |p - v|² = |p|² - 2 (p·v - |v|² / 2): nearest is where the bracket, the score, is greatest
        self._scores = torch.full((len(points),), -torch.inf, device=points.device)
        self._squares = points.square().sum(dim=1)
        self._half_squares = 0.5 * index.embeddings.square().sum(dim=1)

    def visit(self, group: int, rows: Tensor) -> None:
        """Compare these points (R,) with the vertices of a group."""
        if not len(rows):
            return
        members = self.index.groups[group]
        half_squares, vertices = self._half_squares[members], self.index.embeddings[members]
        scores, best = torch.addmm(half_squares, self.points[rows], vertices.T, beta=-1).max(dim=1)
        best = members[best]
        before, found = self._scores[rows], self.found[rows]
        nearer = (scores > before) | ((scores == before) & (best < found))
        self._scores[rows] = torch.where(nearer, scores, before)
        self.found[rows] = torch.where(nearer, best, found)

    def reach(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """How far the nearest vertex so far is from these points, a little more to be safe."""
        distances = (self._squares[rows] - 2 * self._scores[rows]).clamp(min=0).sqrt()
        return distances * (1 + _SLACK) + _SLACK


def index_vertices(embeddings: Tensor) -> VertexIndex:
    """Groups for the embeddings (V, E) float32 of a mesh's vertices, by a few rounds of k-means."""
    count = min(_GROUPS, len(embeddings))
    start = torch.linspace(0, len(embeddings) - 1, count, device=embeddings.device).long()
    centres = embeddings[start]
    for _ in range(_ROUNDS):
        centres = _means(embeddings, torch.cdist(embeddings, centres).argmin(dim=1), centres)
    member = torch.cdist(embeddings, centres).argmin(dim=1)
    kept = torch.unique(member)
    groups = tuple((member == group).nonzero()[:, 0] for group in kept.tolist())
    distances = (embeddings - centres[member]).square().sum(dim=1).sqrt()
    radii = torch.stack([distances[group].max() for group in groups])
    return VertexIndex(embeddings, groups, centres[kept], radii)


def _means(embeddings: Tensor, member: Tensor, centres: Tensor) -> Tensor:
    """Centres of groups; one without members stays where it is."""
    sizes = torch.bincount(member, minlength=len(centres))[:, None]
    sums = torch.zeros_like(centres).index_add_(0, member, embeddings)
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
