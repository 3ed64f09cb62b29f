"""Bodies (YOLOX-nano, selfie segmentation) under one colour in their shape, at video speed without a GPU."""

from dp2.config import L
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction

from ._light import anonymizer, batch_size, detector, device, engine, fallback, seed, tracker

# For a mosaic instead: from dp2.synthesize.fills import Mosaic; synthesizer.fill = L(Mosaic)()
synthesizer = L(Redaction)(fill=L(Solid)(color="gray"), shape="mask")
