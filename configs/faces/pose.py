"""The network that tells how a head is turned, how its face moves and what of it is seen."""

from dp2.config import L

_faces = "dp2.data.posed.PosedFaces"
data = {
    "resolution": [96, 96],
    "folder": "${oc.env:BASE_DATASET_DIR,data}/face_set",
    "train": L(_faces)(folder="${data.folder}"),
    "validation": L(_faces)(folder="${data.folder}", split="val"),
}
generator = L("dp2.models.face_pose.FacePoseNet")(widths=[16, 32, 64, 128], hidden=160)
training = L("dp2.training.settings.Training")(
    objective=L("dp2.training.face_pose.FacePoseObjective")(generator="${generator}"),
    data="${data.train}",
    optimizers={"generator": L("torch.optim.AdamW")(_partial_=True, lr=1e-3, weight_decay=1e-3)},
    images=3_000_000,
    batch=64,
    schedule=L("dp2.training.schedules.Stages")(warmup=6400, lengths=[1_500_000, 1_500_000], factors=[1.0, 0.4]),
    ema_half_life=20_000,
    precision="fp32",
    channels_last=True,
    clip=5.0,
    report=L("dp2.training.settings.Report")(
        log_every=3_200,
        save_every=12_800,
        sheet_every=25_600,
        sheet_data="${data.validation}",
        sheet_rows=16,
        sheet_latents=1,
    ),
)
weights = "dp2/face_pose"
