"""Faces at 128x128 (FDF128)."""

from ..datasets.fdf128 import data
from ..discriminators.stylegan2 import discriminator
from ..generators.stylegan_unet import generator
from ..training.stylegan2 import training

generator.width = 128
generator.max_multiplier = 4
training.objective.r1 = 0.1
training.batch = 64
weights = "fdf/stylegan_fdf128"
