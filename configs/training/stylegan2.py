"""How DeepPrivacy2's generators were trained; a config that uses it sets images, batch and objective.r1."""

from dp2.config import L

training = L("dp2.training.settings.Training")(
    objective=L("dp2.training.objectives.stylegan2.StyleGAN2")(
        generator="${generator}",
        discriminator="${discriminator}",
        r1=5.0,
        r1_interval=16,
        epsilon=0.001,
        path_length=None,
        augmentation=None,
        surface=None,
    ),
    data="${data.train}",
    optimizers={
        "generator": L("torch.optim.Adam")(_partial_=True, lr=0.002, betas=[0.0, 0.99]),
        "discriminator": L("dp2.training.optimizers.lazy_adam")(
            _partial_=True, lr=0.002, betas=[0.0, 0.99], interval="${training.objective.r1_interval}"
        ),
    },
    images=35_000_000,
    batch=32,
    micro_batch=None,
    schedule=L("dp2.training.schedules.Constant")(),
    ema_half_life=None,  # 10 000 images at a batch of 32
    ema_rampup=0.05,
    precision="auto",  # published: fp16
    channels_last=False,
    compile=False,
    clip=None,
    seed=0,
    initial=None,
    device="auto",
    workers=4,
    report=L("dp2.training.settings.Report")(
        log_every=1024,
        sheet_every=100_000,
        save_every=200_000,
        keep=3,
        sheet_data="${data.validation}",
        sheet_rows=8,
        sheet_latents=4,
        logs=[],  # e.g. training.report.logs=[{_target_: dp2.training.logs.TensorBoard, _partial_: true}]
        measure=None,
    ),
)
