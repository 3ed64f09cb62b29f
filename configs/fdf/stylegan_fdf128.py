"""Faces at 128x128 (FDF128)."""

from ..datasets.fdf128 import data
from ..discriminators.stylegan2 import discriminator
from ..generators.stylegan_unet import generator

generator.width = 128
generator.max_multiplier = 4
weights = "fdf/stylegan_fdf128"
