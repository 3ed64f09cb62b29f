"""Faces (DSFD), replaced by DeepPrivacy2's generator at 128x128: for faces below that size."""

from dp2.config import L
from dp2.synthesize.crops import FaceCrop

from .face import anonymizer, batch_size, detector, device, fallback, seed, synthesizer, tracker

synthesizer.generator = "configs/fdf/stylegan_fdf128.py"
synthesizer.crop = L(FaceCrop)(size=[128, 128], fitted=True)
