"""The StyleGAN family: U-Net, discriminator, mapping network and their operators."""
