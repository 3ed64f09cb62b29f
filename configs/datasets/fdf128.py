"""FDF128: faces at 128x128 with 7 keypoints."""

from dp2.config import L
from dp2.data.folders import dataset_folder

data = {
    "resolution": [128, 128],
    "keypoints": 7,
    "train": L("dp2.data.fdf.Fdf128")(folder=dataset_folder("fdf", "train"), mirror=0.5),
    "validation": L("dp2.data.fdf.Fdf128")(folder=dataset_folder("fdf", "val")),
}
