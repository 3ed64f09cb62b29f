"""Faces at 64x64 from `dp2 dataset build PHOTOS -o data/portraits`, with 5 landmarks and a coarse tone."""

from dp2.config import L

_faces = "dp2.data.portrait.faces.PortraitFaces"
data = {
    "resolution": [64, 64],
    "keypoints": 5,
    "train": L(_faces)(
        folder="${oc.env:BASE_DATASET_DIR,data}/portraits",
        resolution="${data.resolution}",
        variants=6,
        group_variants={"portrait": 48},  # 200 varied portraits beside 3979 that are much alike
        matte=L("dp2.detect.people.matte.SelfieMatte")(_partial_=True),
    ),
    "validation": L(_faces)(
        folder="${oc.env:BASE_DATASET_DIR,data}/portraits", resolution="${data.resolution}", split="val", variants=0
    ),
}
