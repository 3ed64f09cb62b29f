"""Faces, replaced by dp2's own generator, which comes with dp2; what it cannot paint well is blurred."""

from dp2.config import L
from dp2.config.face_detectors import centerface_verifier
from dp2.synthesize.fills import Blur
from dp2.synthesize.inpaint import Inpainter
from dp2.synthesize.portrait.crop import PortraitCrop
from dp2.synthesize.redact import Redaction

from .face_blur import anonymizer, batch_size, detector, device, engine, seed, tracker

synthesizer = L(Inpainter)(
    generator="configs/fdf/tiny128.py",
    crop=L(PortraitCrop)(size=[128, 128], surest=0.35, most_yaw=0.9),
    verifier=L(centerface_verifier)(engine="${engine}", device="${device}"),
    truncation=1.0,
    paste="natural",
    batch_size=8,
    amp=None,
    device="${device}",
    compile=False,
)
fallback = L(Redaction)(fill=L(Blur)(), shape="ellipse", mask_scale=1.3)
