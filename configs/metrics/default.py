"""What `dp2 validate` can measure."""

from dp2.config import L
from dp2.detect.faces.centerface import CenterFace

device = "auto"

# Networks with published weights: `dp2 weights fetch inception/fid torchvision/vgg16 clip/vit_b_32 facenet/vggface2`
inception = L("dp2.metrics.inception.Inception")(device="${device}", weights="inception/fid")
clip = L("dp2.metrics.clip.Clip")(device="${device}", weights="clip/vit_b_32")
lpips = L("dp2.metrics.perceptual.Lpips")(device="${device}", backbone="torchvision/vgg16", linear="lpips/vgg16")
embedder = L("dp2.faces.embedding.FaceNet")(device="${device}", weights="facenet/vggface2")

# Stand-ins that need none
seeded = L("dp2.metrics.features.SeededConvolutions")(device="${device}")
seeded_distance = L("dp2.metrics.perceptual.SeededDistance")(device="${device}")
detector = L(CenterFace)(score_threshold=0.3, device="${device}")

metrics = {
    "fid": L("dp2.metrics.distribution.FrechetDistance")(net="${inception}"),
    "kid": L("dp2.metrics.distribution.KernelDistance")(net="${inception}"),
    "fid_clip": L("dp2.metrics.distribution.FrechetDistance")(net="${clip}"),
    "lpips": L("dp2.metrics.perceptual.PerceptualDistance")(net="${lpips}"),
    "diversity": L("dp2.metrics.perceptual.Diversity")(net="${lpips}"),
    "ppl": L("dp2.metrics.perceptual.PathLength")(net="${lpips}"),
    "l1": L("dp2.metrics.pixels.MaskedL1")(),
    "detection": L("dp2.metrics.faces.DetectionRate")(detector="${detector}"),
    "identity": L("dp2.metrics.faces.IdentityDistance")(detector="${detector}", embedder="${embedder}"),
    "fid_like": L("dp2.metrics.distribution.FrechetDistance")(net="${seeded}"),
    "kid_like": L("dp2.metrics.distribution.KernelDistance")(net="${seeded}"),
    "lpips_like": L("dp2.metrics.perceptual.PerceptualDistance")(net="${seeded_distance}"),
    "diversity_like": L("dp2.metrics.perceptual.Diversity")(net="${seeded_distance}"),
    "ppl_like": L("dp2.metrics.perceptual.PathLength")(net="${seeded_distance}"),
}
usual = ["l1", "fid_like", "kid_like", "lpips_like", "diversity_like"]  # without --metrics: what always works
