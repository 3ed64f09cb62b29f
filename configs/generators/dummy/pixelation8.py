"""DeepPrivacy2's dummy generator as classic redaction: in 8x8 cells."""

from dp2.config import L
from dp2.synthesize.fills import Mosaic
from dp2.synthesize.redact import Redaction

synthesizer = L(Redaction)(fill=L(Mosaic)(level=8), shape="box", mask_scale=1.0)
