"""COCO-CSE as surface-guided anonymization uses it (Hukkelås et al. 2022): people with the surface of their bodies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dp2.data.batch import Sample
from dp2.data.fdh import surface
from dp2.data.pictures import decode_array, decode_rgb, read_bytes
from dp2.data.surfaces import load_symmetry
from dp2.data.transforms import mirrored, resized
from dp2.errors import DatasetError


class CocoCse:
    """COCO-CSE: `images/*.png` and `embedding/*.npy` of the same name, (H, W, 3): vertex, mask and border.

    The mask is 1 on what is kept, the border 1 on the ring between that and the body; the body is the rest.

    Args:
        folder: that of a split, e.g. `data/coco_cse/train`.
        resolution: (height, width) that samples are resized to.
        mirror: how often a sample is mirrored, 0 to 1.
        symmetry: file of vertices' counterparts, needed to mirror; see `dp2.data.surfaces.load_symmetry`.

    Raises:
        DatasetError: files are missing or damaged, or samples are to be mirrored without the symmetry.
    """

    def __init__(
        self,
        folder: str,
        *,
        resolution: tuple[int, int] = (288, 160),
        mirror: float = 0.0,
        symmetry: str | None = None,
    ) -> None:
        if mirror > 0 and symmetry is None:
            raise DatasetError(
                "samples with a surface cannot be mirrored without the mesh's symmetry: set mirror=0, or "
                "symmetry=FILE with DensePose's symmetry_smpl_27554.pkl."
            )
        root = Path(folder)
        self._images = sorted((root / "images").glob("*.png"))
        if not self._images:
            raise DatasetError(f"{root / 'images'}: holds no .png pictures; check the path and BASE_DATASET_DIR.")
        self._surfaces = [root / "embedding" / f"{path.stem}.npy" for path in self._images]
        self._mirror = mirror
        self._symmetry = load_symmetry(symmetry) if symmetry is not None else None
        self.resolution = (resolution[0], resolution[1])

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """See `dp2.data.batch.Dataset`."""
        path = self._surfaces[index]
        image = decode_rgb(read_bytes(self._images[index]), str(self._images[index]))
        layers = decode_array(read_bytes(path), str(path))
        if layers.shape != image.shape:
            raise DatasetError(f"{path}: has the shape {layers.shape}, its picture {image.shape}.")
        numbers, kept, border = np.split(layers, 3, axis=2)
        keep = kept[..., 0] > 0
        body = ~keep & ~(border[..., 0] > 0)
        sample = Sample(
            image=torch.from_numpy(image.transpose(2, 0, 1).copy()),
            mask=torch.from_numpy(keep[None]),
            vertices=surface(numbers, body, str(path)),
            silhouette=torch.from_numpy(body[None]),
        )
        turned = mirrored(sample, vertices=self._symmetry) if rng.random() < self._mirror else sample
        return resized(turned, self.resolution)
