"""FDF256: faces at 256x256."""

from dp2.config import L
from dp2.data.folders import dataset_folder

data = {
    "resolution": [256, 256],
    "train": L("dp2.data.fdf.Fdf256")(folder=dataset_folder("fdf256", "train"), mirror=0.5),
    "validation": L("dp2.data.fdf.Fdf256")(folder=dataset_folder("fdf256", "val")),
}
