"""Body surfaces as generators take them: each pixel of a crop with the embedding of the mesh vertex nearest to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dp2.errors import CheckpointMismatch
from dp2.types import Box
from dp2.weights.store import Store

if TYPE_CHECKING:
    from dp2.models.nearest_vertices import VertexIndex

_EMBEDDER = "roi_heads.embedder.embedder_smpl_27554."


class VertexMap:
    """The embeddings of a mesh's vertices, out of a CSE checkpoint. It is looked for now and read at first use.

    Args:
        weights: registry name or file.
        device: "auto", "cpu", "cuda", …

    Raises:
        MissingWeights: the checkpoint is not on this machine.
    """

    def __init__(self, weights: str, device: str) -> None:
        self._path = Store().path(weights)
        self._device = device
        self._map: VertexIndex | None = None
        self._lock = threading.Lock()

    def load(self) -> VertexIndex:
        """The vertices on their device, their embeddings of length one.

        Raises:
            CheckpointMismatch: the checkpoint holds no embedder of the mesh SMPL.
        """
        with self._lock:
            if self._map is None:
                self._map = self._read()
            return self._map

    def _read(self) -> VertexIndex:
        import torch

        from dp2.inference.device import pick_device
        from dp2.models.nearest_vertices import index_vertices
        from dp2.models.rcnn.densepose_heads import VertexEmbedder
        from dp2.weights.loading import load_checkpoint, load_strict, network_state

        state = network_state(load_checkpoint(self._path), str(self._path))
        own = {key.removeprefix(_EMBEDDER): value for key, value in state.items() if key.startswith(_EMBEDDER)}
        if set(own) != {"features", "embeddings"} or any(value.ndim != 2 for value in own.values()):
            raise CheckpointMismatch(
                f"{self._path}: holds no vertex embedder of the mesh SMPL; is it a CSE checkpoint?"
            )
        (vertices, features), embedding = own["features"].shape, own["embeddings"].shape[1]
        embedder = VertexEmbedder(vertices=vertices, features=features, embedding=embedding)
        load_strict(embedder, own, source=str(self._path))
        with torch.inference_mode():
            return index_vertices(embedder.to(pick_device(self._device))())


def surface_place(surface_box: NDArray[np.float32], box: Box, size: tuple[int, int]) -> Box:
    """Where a surface lies in the crop of `box`, in pixels of the crop; it may leave it.

    In float32 with halves to even, as published.
    """
    x0, y0, x1, y1 = (np.float32(value) for value in np.rint(surface_box))
    width, height = np.float32(box[2] - box[0]), np.float32(box[3] - box[1])
    left, right = (int(np.rint((value - np.float32(box[0])) / width * np.float32(size[1]))) for value in (x0, x1))
    top, bottom = (int(np.rint((value - np.float32(box[1])) / height * np.float32(size[0]))) for value in (y0, y1))
    return left, top, right, bottom


def surface_condition(
    surface: NDArray[np.float32], surface_box: NDArray[np.float32], box: Box, size: tuple[int, int], vertices: VertexMap
) -> NDArray[np.float32]:
    """What a generator is told of a surface.

    Args:
        surface: (E + 1, S, S) as in `dp2.types.Detections`.
        surface_box: (4,) where it lies in the frame.
        box: of the crop.
        size: (height, width) of the crop.
        vertices: the mesh that pixels are looked up in.

    Returns:
        (E + 1, h, w) float32: the embedding of each pixel's nearest vertex, 0 off the body; last the body.

    Raises:
        CheckpointMismatch: the mesh's embedding has other dimensions than the surface.
    """
    import torch

    from dp2.models.rcnn.densepose_cse import closest_vertices

    mesh = vertices.load()
    embeddings = mesh.embeddings
    dimensions = len(surface) - 1
    if embeddings.shape[1] != dimensions:
        raise CheckpointMismatch(
            f"a surface of {dimensions} coordinates cannot be looked up in a mesh of {embeddings.shape[1]}; "
            "detections and `embedding` must come from the same network."
        )
    placed = torch.from_numpy(_placed(surface, surface_place(surface_box, box, size), size)).to(embeddings.device)
    body = placed[-1] > 0
    with torch.inference_mode():
        nearest = closest_vertices(placed[None, :-1], body[None], mesh)[0]
        known = embeddings[nearest].permute(2, 0, 1) * body
        condition: NDArray[np.float32] = torch.cat([known, body[None].float()]).cpu().numpy()
        return condition


def _placed(surface: NDArray[np.float32], place: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """A surface resized (antialiased, bilinear) into its place in a crop, 0 around it."""
    import torch
    from torchvision.transforms.functional import resize

    left, top, right, bottom = place
    out = np.zeros((len(surface), *size), np.float32)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    if x1 > x0 and y1 > y0:
        resized = resize(torch.tensor(surface), [bottom - top, right - left], antialias=True).numpy()
        out[:, y0:y1, x0:x1] = resized[:, y0 - top : y1 - top, x0 - left : x1 - left]
    return out
