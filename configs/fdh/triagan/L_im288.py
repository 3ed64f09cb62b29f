"""Bodies at 288x160 with a drawing of their joints (FDH)."""

from ...datasets.fdh import data
from ...discriminators.stylegan2 import discriminator
from ...generators.triagan import generator, rename
from ...training.triagan import training

data["train"].surface = False
data["train"].mirror = 0.5
data["validation"].surface = False
training.images = 70_000_000
training.batch = 128
weights = "fdh/triagan/L_im288"
