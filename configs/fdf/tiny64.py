"""dp2's own faces at 64x64: a conditional autoencoder for 300k images, then a weak adversary."""

from dp2.config import L

from ..datasets.portraits import data
from ..generators.portrait_unet import cpu_backend, generator

_adam = "torch.optim.Adam"
_autoencoder_steps, _batch = 9_400, 32

training = L("dp2.training.settings.Training")(
    objective=L("dp2.training.objectives.portrait_vae.PortraitObjective")(
        generator="${generator}",
        encoder=L("dp2.models.portrait.critics.PortraitEncoder")(z_channels="${generator.z_channels}"),
        discriminator=L("dp2.models.portrait.critics.PortraitDiscriminator")(widths=[32, 64, 128, 192, 256]),
        features=L("dp2.training.objectives.portrait_parts.frozen_features")(
            enlarge=2, scale=[3.45, 3.41, 3.98, 4.93, 3.89]
        ),
        adversary_from=_autoencoder_steps,
    ),
    data="${data.train}",
    optimizers={
        "generator": L(_adam)(_partial_=True, lr=4e-4, betas=[0.5, 0.99]),
        "encoder": L(_adam)(_partial_=True, lr=4e-4, betas=[0.5, 0.99]),
        "discriminator": L(_adam)(_partial_=True, lr=8e-4, betas=[0.5, 0.99]),
    },
    images=380_000,
    batch=_batch,
    schedule=L("dp2.training.schedules.Stages")(
        warmup=3200, lengths=[_autoencoder_steps * _batch, 80_000], factors=[1.0, 0.25]
    ),
    ema_half_life=4000,
    ema_rampup=0.1,
    precision="bf16",
    channels_last=True,
    clip=10.0,
    report=L("dp2.training.settings.Report")(
        save_every=10_000, sheet_every=10_000, sheet_data="${data.validation}", sheet_rows=16, sheet_latents=4
    ),
)
weights = "dp2/tiny64"
