"""dp2's own faces at 128x128: grown from those at 64x64."""

from dp2.config import L

from .tiny64 import cpu_backend, data, generator, training

data["resolution"] = [128, 128]
generator.widths = [16, 32, 64, 128, 192, 256]
training.objective.generator = L("dp2.training.objectives.portrait_parts.grown")(
    generator="${generator}", weights="dp2/tiny64"
)
training.objective.discriminator.widths = [16, 32, 64, 128, 192, 256]
training.objective.features.enlarge = 1
training.objective.adversary_from = 3_000
training.images = 180_000
training.schedule.lengths = [96_000, 84_000]
weights = "dp2/tiny128"
