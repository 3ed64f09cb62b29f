"""Bodies (YOLOX-nano, selfie segmentation) blurred in their shape, at video speed without a GPU."""

from dp2.config import L
from dp2.synthesize.fills import Blur
from dp2.synthesize.redact import Redaction

from ._light import anonymizer, batch_size, detector, device, engine, fallback, seed, tracker

synthesizer = L(Redaction)(fill=L(Blur)(), shape="mask")
