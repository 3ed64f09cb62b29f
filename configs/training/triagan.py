"""TriaGAN with the objective of StyleGAN2 and differentiable augmentation.

Not as published: there the discriminators judge features of large pretrained networks, and resolutions grow.
"""

from dp2.config import L

from .stylegan2 import training

training.objective.r1 = 0.1
training.objective.augmentation = L("dp2.training.augmentation.augment.DiffAugment")()
