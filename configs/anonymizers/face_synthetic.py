"""Faces, replaced by people who do not exist, each the same in every pose; what cannot be painted well is blurred."""

from dp2.config import L
from dp2.synthesize.fills import Blur
from dp2.synthesize.new_faces import NewFaces
from dp2.synthesize.redact import Redaction

from .face_blur import anonymizer, batch_size, detector, device, engine, seed, tracker

synthesizer = L(NewFaces)(expression=True, engine="auto")
fallback = L(Redaction)(fill=L(Blur)(), shape="ellipse", mask_scale=1.3)
