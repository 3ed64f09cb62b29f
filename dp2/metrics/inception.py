"""The network of FID and KID: Inception v3 of 2015 in TensorFlow's version, from torch-fidelity."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from dp2.extras import needing
from dp2.inference.lazy_network import LazyNetwork


class Inception:
    """2048 pooled features, resized and scaled as the published FID does (Heusel et al., NeurIPS 2017).

    Args:
        device: "auto", "cpu", "cuda", …
        weights: name in the registry, or a file.

    Raises:
        MissingWeights: the checkpoint is not on this machine.
    """

    suffix = ""

    def __init__(self, *, device: str = "auto", weights: str = "inception/fid") -> None:
        self._network: LazyNetwork[nn.Module] = LazyNetwork(weights, device, _load)
        self.name = f"Inception v3, FID's ({weights})"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """See `dp2.metrics.features.FeatureNet`; C = 2048."""
        network, device = self._network.get()
        (features,) = network(images.to(device))
        found: Tensor = features
        return found


def _load(path: Path, device: torch.device) -> nn.Module:
    from dp2.weights.loading import load_checkpoint, network_state

    with needing("FID or KID"):
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    state = network_state(load_checkpoint(path), str(path))
    # The library unpickles whatever it is given; so it is given a file that we wrote.
    with tempfile.TemporaryDirectory() as folder:
        safe = Path(folder, "inception.pth")
        torch.save(state, safe)
        try:
            network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(safe))
        except RuntimeError as error:
            from dp2.errors import CheckpointMismatch

            reason = str(error).splitlines()[0]
            raise CheckpointMismatch(f"{path}: does not fit FID's Inception v3 ({reason}).") from error
    ready: nn.Module = network.to(device)
    return ready
