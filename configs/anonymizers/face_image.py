"""Faces (CenterFace), covered by a picture: give yours with --replaceimg."""

from dp2.config import L
from dp2.synthesize.fills import ImageFill
from dp2.synthesize.redact import Redaction

from .face_blur import anonymizer, batch_size, detector, device, engine, fallback, seed, tracker

synthesizer = L(Redaction)(fill=L(ImageFill)(), shape="ellipse", mask_scale=1.3)
