"""Bodies at 288x160 from their mask alone (FDH)."""

from ..datasets.fdh import data
from ..discriminators.stylegan2 import discriminator
from ..generators.stylegan_unet import generator

generator.linear_skip = False
weights = "fdh/styleganL_nocse"
