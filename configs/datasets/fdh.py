"""FDH: bodies at 288x160 with 17 keypoints and surface embeddings of 16 channels."""

from dp2.config import L
from dp2.data.folders import dataset_folder

data = {
    "resolution": [288, 160],
    "keypoints": 17,
    "embedding_channels": 16,
    # The published training mirrors half of the samples: mirror=0.5 with symmetry=… symmetry_smpl_27554.pkl.
    "train": L("dp2.data.fdh.Fdh")(folder=dataset_folder("fdh", "train"), surface=True, mirror=0.0, symmetry=None),
    "validation": L("dp2.data.fdh.Fdh")(folder=dataset_folder("fdh", "val"), surface=True),
    "surface": L("dp2.data.surfaces.load_embed_map")(path=dataset_folder("fdh", "embed_map.torch")),
}
