"""Faces at 128x128 with nose and eyes as keypoints."""

from ..datasets.fdf128 import data
from ..discriminators.stylegan2 import discriminator
from ..generators.triagan import generator, rename
from ..training.triagan import training

generator.width = 256
generator.multipliers = [1, 2, 2, 2, 2]
generator.keypoints = [0, 1, 2]
generator.joint_map = False
generator.silhouette = False
generator.layer_scale = False
training.images = 77_000_000
training.batch = 128
weights = "fdf/triagan_L"
