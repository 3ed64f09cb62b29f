"""Bodies at 288x160 with surface embedding (FDH)."""

from ..datasets.fdh import data
from ..discriminators.stylegan2 import discriminator
from ..generators.stylegan_unet import generator

generator.embedding_channels = 17  # 16 of the embedding and the body's mask
weights = "fdh/styleganL"
