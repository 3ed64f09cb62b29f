"""DSFD as a detector: the most thorough of the face detectors, and the slowest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dp2.detect.checks import by_size, check_fraction, check_images, check_relax, detection_errors
from dp2.detect.combine.scale import Scale, network_size, parse_scale
from dp2.detect.faces.torch_faces import BATCH_PIXELS, faces_in, to_planes
from dp2.inference.lazy_network import LazyNetwork
from dp2.inference.torch_network import half_precision
from dp2.types import FACE, Detections, Image

if TYPE_CHECKING:
    import torch

    from dp2.models.faces import dsfd


class DSFD:
    """Face detector without landmarks.

    The checkpoint is looked for when the detector is built and loaded with the first frame. Instances may be called
    from several threads.

    Args:
        score_threshold: faces below it are not reported, or as weak ones if the caller relaxes it.
        nms_iou: largest overlap of two faces.
        scale: at which size the network sees frames: a factor, "WxH", (w, h), or "auto" (their own, within memory).
            The published detector always sees them whole, 1.0; activations need 0.7 kB a pixel, 6 GB for 3840×2160.
        device: "auto", "cpu", "cuda", …
        amp: half precision on a GPU; elsewhere, and by default, float32 as published.
        weights: name in the registry, or a file.

    Raises:
        UsageError: a value is out of its range.
        MissingWeights: the checkpoint is not on this machine.
    """

    kinds = (FACE,)
    extra = "torch"  # of `dp2.extras`: what it needs

    def __init__(
        self,
        *,
        score_threshold: float = 0.3,
        nms_iou: float = 0.3,
        scale: Scale = 1.0,
        device: str = "auto",
        amp: bool | None = None,
        weights: str = "dsfd",
    ) -> None:
        check_fraction("score_threshold", score_threshold)
        check_fraction("nms_iou", nms_iou)
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.scale = parse_scale(scale)
        self.amp = amp
        self._network: LazyNetwork[dsfd.DSFD] = LazyNetwork(weights, device, _build)

    @property
    def settings(self) -> dict[str, Any]:
        """See `dp2.stages.Detector.settings`."""
        return {
            "detector": "DSFD",
            "weights": self._network.identity,
            "score_threshold": self.score_threshold,
            "nms_iou": self.nms_iou,
            "scale": list(self.scale) if isinstance(self.scale, tuple) else self.scale,
            "amp": bool(self.amp),
        }

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """See `dp2.stages.Detector`."""
        check_relax(relax)
        with detection_errors("DSFD"):
            check_images(images)
            return [(faces,) for faces in by_size(images, lambda some: self._detect(some, relax), BATCH_PIXELS // 8)]

    def _detect(self, images: Sequence[Image], relax: float) -> list[Detections]:
        """Frames of one size."""
        import torch

        from dp2.models.faces.dsfd import select_faces

        height, width = images[0].shape[:2]
        size = network_size(self.scale, (width, height), 1)
        network, device = self._network.get()
        with torch.inference_mode(), half_precision(self.amp, device):
            candidates = network(to_planes(images, size, device))
        found = select_faces(candidates, size[::-1], self.score_threshold * relax, self.nms_iou)
        stretch = width / size[0], height / size[1]
        return [faces_in((height, width), stretch, *faces, None, self.score_threshold) for faces in found]


def _build(path: Path, device: torch.device) -> dsfd.DSFD:
    from dp2.models.faces import dsfd
    from dp2.models.fuse import fuse_for_inference
    from dp2.weights.loading import load_checkpoint, load_strict, network_state

    network = dsfd.DSFD().eval().requires_grad_(False)
    source = str(path)
    load_strict(network, network_state(load_checkpoint(path), source), dsfd.LEFTOVERS, source, dsfd.rename_published)
    return fuse_for_inference(network.to(device))
