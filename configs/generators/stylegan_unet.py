"""The StyleGAN U-Net of DeepPrivacy2, without surface embedding."""

from dp2.config import L

generator = L("dp2.models.stylegan.unet.StyleGANUnet")(
    resolution="${data.resolution}",
    width=64,
    max_multiplier=8,
    lowest=8,
    embedding_channels=0,
    z_channels=512,
    w_channels=512,
    linear_skip=True,
    clamp=256.0,
)
