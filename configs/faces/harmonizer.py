"""The network that fits a drawn face into a picture, at 128x128; from `python -m dp2.data.faces prepare`."""

from dp2.config import L

_faces = "dp2.data.harmonize.HarmonizerFaces"
data = {
    "resolution": [128, 128],
    "folder": "${oc.env:BASE_DATASET_DIR,data}/face_set",
    "train": L(_faces)(folder="${data.folder}", resolution="${data.resolution}"),
    "validation": L(_faces)(folder="${data.folder}", resolution="${data.resolution}", split="val"),
}
generator = L("dp2.models.harmonizer.Harmonizer")(widths=[24, 48, 96, 160, 224, 224])
training = L("dp2.training.settings.Training")(
    objective=L("dp2.training.harmonize.HarmonizeObjective")(
        generator=L("dp2.training.objectives.portrait_parts.begun")(network="${generator}", weights="dp2/harmonizer"),
        critic=L("dp2.models.harmonizer.HarmonizerCritic")(widths=[32, 64, 128, 192]),
        critic_from=1000,
    ),
    data="${data.train}",
    optimizers={
        "generator": L("torch.optim.Adam")(_partial_=True, lr=3e-4, betas=[0.9, 0.99]),
        "critic": L("torch.optim.Adam")(_partial_=True, lr=2e-4, betas=[0.5, 0.99]),
    },
    images=600_000,
    batch=16,
    schedule=L("dp2.training.schedules.Stages")(warmup=1600, lengths=[400_000, 200_000], factors=[1.0, 0.3]),
    ema_half_life=8000,
    precision="fp32",  # bf16 is twice as fast on processors with AMX, and hopeless on those without
    channels_last=True,
    clip=1.0,
    report=L("dp2.training.settings.Report")(
        log_every=800,
        save_every=4_000,
        sheet_every=8_000,
        sheet_data="${data.validation}",
        sheet_rows=12,
        sheet_latents=1,
    ),
)
weights = "dp2/harmonizer"
