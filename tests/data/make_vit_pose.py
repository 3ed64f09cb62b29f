"""A reduced parity case of ViTPose: narrow and shallow, weights seeded by their published names, one person.

Made when the network gave the published outputs to 1e-6 at full size. Run from the root of the repository:

    python tests/data/make_vit_pose.py
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dp2.models.vit_pose import Size, ViTPose, cut, decode

HERE = Path(__file__).parent
BOXES = [[50, 30, 200, 230], [100, 60, 301, 150]]  # one higher, one wider than a crop; the second leaves the picture


def seeded(key: str, shape: tuple[int, ...]) -> Tensor:
    """Weights that keep the variance of features and depend on nothing but a name."""
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    n = torch.randn(shape, generator=generator)
    if key.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.long)
    if key.endswith("running_var"):
        return 1 + 0.1 * n.clamp(-3, 3)
    if n.ndim >= 2 and "pos_embed" not in key:
        return n * n[0].numel() ** -0.5
    return 1 + 0.1 * n if key.endswith("weight") and n.ndim == 1 else 0.1 * n


def small() -> ViTPose:
    """32 channels, 2 blocks."""
    network = ViTPose(Size(channels=32, depth=2, heads=4, decoder_channels=16))
    network.load_state_dict({k: seeded(k, tuple(v.shape)) for k, v in network.state_dict().items()})
    return network.eval()


def picture() -> Tensor:
    """(3, 240, 280) uint8: smooth noise."""
    coarse = seeded("picture", (1, 3, 24, 28))
    smooth = torch.nn.functional.interpolate(coarse, size=(240, 280), mode="bicubic")[0]
    return (smooth * 50 + 128).clamp(0, 255).to(torch.uint8)


def main() -> None:
    with torch.inference_mode():
        heatmaps = small()(cut(picture(), BOXES))
    keypoints = decode(heatmaps, BOXES)
    np.savez_compressed(
        HERE / "vit_pose.npz", heatmaps=heatmaps.numpy().astype(np.float16), keypoints=keypoints.numpy()
    )


if __name__ == "__main__":
    main()
