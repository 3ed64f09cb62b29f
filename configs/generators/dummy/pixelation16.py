"""DeepPrivacy2's dummy generator as classic redaction: in 16x16 cells, in which a face may be recognised."""

from dp2.config import L
from dp2.synthesize.fills import Mosaic
from dp2.synthesize.redact import Redaction

synthesizer = L(Redaction)(fill=L(Mosaic)(level=16), shape="box", mask_scale=1.0)
