"""A reduced parity case of RetinaFace on MobileNet: weights seeded by their published names, a small picture.

Made when the network gave the published outputs to 1e-7 at full size. Run from the root of the repository:

    python tests/data/make_retinaface.py
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).parent


def seeded(key: str, shape: tuple[int, ...]) -> Tensor:
    """Weights that keep the variance of features and depend on nothing but a name."""
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    n = torch.randn(shape, generator=generator)
    if key.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.long)
    if key.endswith("running_var"):
        return 1 + 0.1 * n.clamp(-3, 3)
    if len(shape) == 4:
        gain = 2 / 3600 if key == "body.stage1.0.0.weight" else 2.0
        return n * (gain / n[0].numel()) ** 0.5
    return 1 + 0.1 * n if key.endswith("weight") else 0.1 * n


def picture() -> Tensor:
    """(1, 3, 90, 130) float32 in [0, 255]: sides that no stride divides."""
    return ((seeded("picture", (1, 3, 90, 130)) * 0.1 + 1) * 128).clamp(0, 255).round()


def main() -> None:
    from dp2.models.faces.retinaface import RetinaFace

    network = RetinaFace("mobilenet").eval()
    network.load_state_dict({k: seeded(k, tuple(v.shape)) for k, v in network.state_dict().items()})
    with torch.inference_mode():
        found = network(picture())
    np.savez_compressed(HERE / "retinaface.npz", **{k: v.numpy() for k, v in found._asdict().items()})


if __name__ == "__main__":
    main()
