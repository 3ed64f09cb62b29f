"""Bodies at 288x160 with surface embedding (FDH)."""

from ..datasets.fdh import data
from ..discriminators.stylegan2 import discriminator
from ..generators.stylegan_unet import generator
from ..training.stylegan2 import training

generator.embedding_channels = 17  # 16 of the embedding and the body's mask
training.objective.r1 = 0.1
training.objective.surface = "${data.surface}"
training.images = 50_000_000
training.batch = 64
weights = "fdh/styleganL"
