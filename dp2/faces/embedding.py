"""Whose face is it: embeddings in which faces of one person lie near each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dp2.errors import DetectionError
from dp2.faces.alignment import SPHEREFACE, aligned, boxed, typical_landmarks
from dp2.faces.embedding_graph import FaceGraph
from dp2.inference.lazy_network import LazyNetwork
from dp2.types import Image

if TYPE_CHECKING:
    import torch
    from torch import nn

_BATCH = 64


class FaceEmbedder(Protocol):
    """Turns faces into vectors. The cosine similarity of two, a @ b, says how alike two faces are."""

    @property
    def name(self) -> str:
        """Of network and weights, for reports and for files of stored embeddings."""

    @property
    def channels(self) -> int:
        """Length of a vector."""

    @property
    def same_person(self) -> float:
        """Cosine similarity above which two faces count as those of one person; rarely wrong, by measurement."""

    def __call__(
        self,
        images: Sequence[Image],
        boxes: NDArray[np.float32],
        landmarks: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Embed one face a picture.

        Args:
            images: N times (H, W, 3) uint8 RGB, of any sizes; the same array may come several times.
            boxes: (N, 4) x0 y0 x1 y1 in pixels: the face in each.
            landmarks: (N, 5, 2) x y in pixels: eyes (left in the picture first), nose, corners of the mouth; rows that
                are not finite, or None, are guessed from the box of an upright face.

        Returns:
            (N, channels) float32 of length 1.

        Raises:
            ValueError: lengths differ, or a box is not finite.
            DetectionError: the network's values are not finite.
        """


class MobileFaceNet:
    """MobileFaceNet on faces aligned by five landmarks; a face and its mirror image are averaged.

    The published weights name no licence: they are for measurements on machines of your own, and are never shipped.

    Args:
        device: "auto" and "cpu": the processor, by `dp2.faces.embedding_graph`; others, e.g. "cuda": by PyTorch.
        weights: name in the registry, or a file.
        same_person: see `FaceEmbedder`. Of 6600 pairs of people in photos (58 pixels and more) none is as alike as the
            default (99.9 % are below 0.34), by `benchmarks/face_embedding.py`.

    Raises:
        MissingWeights: the checkpoint is not on this machine.
    """

    channels = 128

    def __init__(self, *, device: str = "auto", weights: str = "mobilefacenet", same_person: float = 0.5) -> None:
        self.same_person = same_person
        self._network: LazyNetwork[nn.Module] = LazyNetwork(weights, device, _load_mobile_facenet)
        self._graph = FaceGraph(self._network.path) if device in ("auto", "cpu") else None

    @property
    def name(self) -> str:
        """See `FaceEmbedder`."""
        return f"MobileFaceNet ({self._network.identity[0]})"

    def __call__(
        self, images: Sequence[Image], boxes: NDArray[np.float32], landmarks: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """See `FaceEmbedder`."""
        boxes, points = face_places(images, boxes, landmarks)
        faces = [aligned(image, row, SPHEREFACE, (112, 96)) for image, row in zip(images, points, strict=True)]
        if self._graph is not None and faces:
            return self._graph(faces)
        return _embed(self._network, faces, self.channels)


class FaceNet:
    """FaceNet (Inception-ResNet v1) on boxes, as facenet-pytorch evaluates it; landmarks are not used.

    Args:
        device: "auto", "cpu", "cuda", …
        weights: name in the registry (facenet/vggface2, facenet/casia_webface), or a file.
        same_person: see `FaceEmbedder`; the default is a guess, nothing was measured with these weights.

    Raises:
        MissingWeights: the checkpoint is not on this machine.
    """

    channels = 512
    extra = "torch"  # of `dp2.extras`: what it needs

    def __init__(self, *, device: str = "auto", weights: str = "facenet/vggface2", same_person: float = 0.5) -> None:
        self.same_person = same_person
        self._network: LazyNetwork[nn.Module] = LazyNetwork(weights, device, _load_facenet)

    @property
    def name(self) -> str:
        """See `FaceEmbedder`."""
        return f"FaceNet ({self._network.identity[0]})"

    def __call__(
        self, images: Sequence[Image], boxes: NDArray[np.float32], landmarks: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """See `FaceEmbedder`."""
        boxes, _ = face_places(images, boxes, landmarks)
        # 14 of 160 pixels are margin, as in facenet-pytorch's evaluation on LFW
        faces = [boxed(image, box, 14 / (160 - 14), (160, 160)) for image, box in zip(images, boxes, strict=True)]
        return _embed(self._network, faces, self.channels)


def face_places(
    images: Sequence[Image], boxes: NDArray[np.float32], landmarks: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Checked boxes (N, 4) and landmarks (N, 5, 2), guessed where they are not known."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if len(boxes) != len(images):
        raise ValueError(f"{len(images)} pictures, but {len(boxes)} boxes")
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError("boxes must be finite and not empty")
    guessed = typical_landmarks(boxes)
    if landmarks is None:
        return boxes, guessed
    given = np.asarray(landmarks, np.float32)
    if given.shape != guessed.shape:
        raise ValueError(f"landmarks must be {guessed.shape}, not {given.shape}")
    usable = np.isfinite(given).all(axis=(1, 2)) & (np.ptp(given, axis=1) > 0).all(axis=1)
    return boxes, np.where(usable[:, None, None], given, guessed)


def _embed(lazy: LazyNetwork[nn.Module], faces: Sequence[Image], channels: int) -> NDArray[np.float32]:
    """(N, channels) of faces cut out at the network's size."""
    if not faces:
        return np.zeros((0, channels), np.float32)
    network, device = lazy.get()
    import torch
    import torch.nn.functional as F

    parts: list[torch.Tensor] = []
    with torch.inference_mode(), _one_thread():
        for start in range(0, len(faces), _BATCH):
            pixels = torch.from_numpy(np.stack(faces[start : start + _BATCH])).to(device).permute(0, 3, 1, 2)
            batch = (pixels.float() - 127.5) / 128  # as both networks were trained
            parts.append(F.normalize(network(batch) + network(batch.flip(3))).float().cpu())
    vectors = torch.cat(parts)
    if not vectors.isfinite().all():
        raise DetectionError("the face embedding's values are not finite")
    found: NDArray[np.float32] = vectors.numpy()
    return found


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small gain nothing from several threads; while a detector keeps the cores busy, they lose all."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _loaded(make: Callable[[], nn.Module], path: Path, device: torch.device, leftovers: tuple[str, ...]) -> nn.Module:
    from dp2.models.folding import folded
    from dp2.weights.loading import load_checkpoint, load_strict, network_state

    network = make()
    load_strict(network, network_state(load_checkpoint(path), str(path)), leftovers, str(path))
    return folded(network).to(device)


def _load_mobile_facenet(path: Path, device: torch.device) -> nn.Module:
    from dp2.models.faces.mobile_facenet import MobileFaceNet as Network

    return _loaded(Network, path, device, ())


def _load_facenet(path: Path, device: torch.device) -> nn.Module:
    from dp2.models.faces.inception_resnet_v1 import InceptionResnetV1

    return _loaded(InceptionResnetV1, path, device, ("logits.*",))
