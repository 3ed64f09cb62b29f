"""The network of FID-CLIP: the image tower of CLIP ViT-B/32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dp2.extras import needing
from dp2.inference.lazy_network import LazyNetwork

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class Clip:
    """512 features of OpenAI's CLIP (Radford et al., ICML 2021), in which Kynkäänniemi et al. (ICLR 2023) measure.

    Args:
        device: "auto", "cpu", "cuda", …
        weights: name in the registry, or a file with open_clip's names.

    Raises:
        MissingWeights: the checkpoint is not on this machine.
    """

    suffix = "-CLIP"

    def __init__(self, *, device: str = "auto", weights: str = "clip/vit_b_32") -> None:
        self._network: LazyNetwork[nn.Module] = LazyNetwork(weights, device, _load)
        self.name = f"CLIP ViT-B/32 ({weights})"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """See `dp2.metrics.features.FeatureNet`; C = 512. The shorter side is brought to 224, the middle cut out."""
        network, device = self._network.get()
        features: Tensor = network(_prepared(images.to(device)))
        return features


def _prepared(images: Tensor) -> Tensor:
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import center_crop, normalize, resize

    small = resize(images, [224], interpolation=InterpolationMode.BICUBIC, antialias=True)
    middle = center_crop(small, [224, 224]).float() / 255
    prepared: Tensor = normalize(middle, list(_MEAN), list(_STD))
    return prepared


def _load(path: Path, device: torch.device) -> nn.Module:
    from dp2.weights.loading import load_checkpoint, load_strict, network_state

    with needing("FID-CLIP"):
        from torch_fidelity.feature_extractor_clip import VisionTransformer
    network: nn.Module = VisionTransformer(
        input_resolution=224, patch_size=32, width=768, layers=12, heads=12, output_dim=512
    )
    state = _visual(network_state(load_checkpoint(path), str(path)))
    load_strict(network, {key: value.float() for key, value in state.items()}, source=str(path))
    return network.eval().requires_grad_(False).to(device)


def _visual(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the text tower."""
    inner = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    return inner or dict(state)
