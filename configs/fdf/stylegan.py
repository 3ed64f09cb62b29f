"""Faces at 256x256 (FDF256)."""

from ..datasets.fdf256 import data
from ..discriminators.stylegan2 import discriminator
from ..generators.stylegan_unet import generator
from ..training.stylegan2 import training

training.objective.r1 = 1.0
weights = "fdf/stylegan"
