"""Bodies at 288x160 from their mask alone (FDH)."""

from ..datasets.fdh import data
from ..discriminators.stylegan2 import discriminator
from ..generators.stylegan_unet import generator
from ..training.stylegan2 import training

generator.linear_skip = False
data["train"].surface = False
data["train"].mirror = 0.5
data["validation"].surface = False
training.images = 50_000_000  # published with the general r1 of 5 and a batch of 32
weights = "fdh/styleganL_nocse"
