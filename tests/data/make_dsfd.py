"""A reduced parity case of DSFD: small widths, weights seeded by their names, a small picture.

Made when the network gave the published outputs to 1e-6 at full size. Run from the root of the repository:

    python tests/data/make_dsfd.py
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dp2.models.faces.dsfd import DSFD
from dp2.models.rcnn.resnet_fpn import BackboneSettings

HERE = Path(__file__).parent


def seeded(key: str, shape: tuple[int, ...]) -> Tensor:
    """Weights that keep the variance of features and depend on nothing but a name."""
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    n = torch.randn(shape, generator=generator)
    if key.endswith("running_var"):
        return 1 + 0.1 * n.clamp(-3, 3)
    if len(shape) == 4:
        gain = 2 / 3600 if "stem" in key else 0.3 if key.startswith(("smooth", "latlayer")) else 2.0
        return n * (gain / n[0].numel()) ** 0.5
    return 1 + 0.1 * n if key.endswith("weight") else 0.1 * n


def small() -> DSFD:
    """Narrow and shallow, with seeded weights."""
    backbone = BackboneSettings(
        depths=(1, 1, 2, 1), stem_channels=8, res2_channels=16, width_per_group=4, stride_in_1x1=False
    )
    network = DSFD(backbone=backbone, width=16, extra_widths=((16, 16), (8, 16)))
    network.load_state_dict({k: seeded(k, tuple(v.shape)) for k, v in network.state_dict().items()})
    return network.eval()


def picture() -> Tensor:
    """(1, 3, 90, 130) uint8: sides that no stride divides."""
    return ((seeded("picture", (1, 3, 90, 130)) * 0.1 + 1) * 128).clamp(0, 255).to(torch.uint8)


def main() -> None:
    with torch.inference_mode():
        found = small()(picture())
    np.savez_compressed(HERE / "dsfd.npz", **{k: v.numpy() for k, v in found._asdict().items()})


if __name__ == "__main__":
    main()
