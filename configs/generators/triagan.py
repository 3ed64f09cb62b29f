"""TriaGAN, fed keypoints or a drawing of the joints."""

from dp2.config import L

generator = L("dp2.models.triagan.TriaGAN")(
    resolution="${data.resolution}",
    width=128,
    multipliers=[1, 2, 4, 4, 4, 4],
    blocks=2,
    middle_blocks=2,
    keypoints=list(range(17)),
    joint_map=True,
    silhouette=True,
    layer_scale=True,
    z_channels=64,
    w_channels=512,
)
rename = "dp2.models.triagan.rename_published"
