"""Faces at 128x128 with nose and eyes as keypoints."""

from ..datasets.fdf128 import data
from ..generators.triagan import generator, rename

generator.width = 256
generator.multipliers = [1, 2, 2, 2, 2]
generator.keypoints = [0, 1, 2]
generator.joint_map = False
generator.silhouette = False
generator.layer_scale = False
weights = "fdf/triagan_L"
