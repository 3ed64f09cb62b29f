"""Faces (DSFD), replaced by DeepPrivacy2's generator at 256x256."""

from dp2.config import L
from dp2.synthesize.crops import FaceCrop
from dp2.synthesize.inpaint import Inpainter

from ._face import dsfd as detector
from .face_blur import anonymizer, batch_size, device, fallback, seed, tracker

synthesizer = L(Inpainter)(
    generator="configs/fdf/stylegan.py",
    crop=L(FaceCrop)(size=[256, 256]),
    truncation=0.0,
    multi_modal_truncation=False,
    paste="natural",
    batch_size=8,
    amp=None,
    device="${device}",
    compile=False,
)
