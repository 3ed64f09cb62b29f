"""dp2's own face generator at 64x64; `tiny128` adds a level."""

from dp2.config import L

generator = L("dp2.models.portrait.unet.PortraitUnet")(widths=[32, 64, 128, 192, 256], z_channels=64, w_channels=192)
cpu_backend = L("dp2.synthesize.portrait.backend.PortraitBackend")(
    _partial_=True,
    widths="${generator.widths}",
    z_channels="${generator.z_channels}",
    w_channels="${generator.w_channels}",
)
