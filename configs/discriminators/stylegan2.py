"""The StyleGAN2 discriminator of DeepPrivacy2."""

from dp2.config import L

discriminator = L("dp2.models.stylegan.discriminator.StyleGAN2Discriminator")(resolution="${data.resolution}", width=80)
