"""Faces (CenterFace), covered by a solid colour."""

from dp2.config import L
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction

from .face_blur import anonymizer, batch_size, detector, device, engine, fallback, seed, tracker

synthesizer = L(Redaction)(fill=L(Solid)(color="black"), shape="ellipse", mask_scale=1.3)
