"""DeepPrivacy2's dummy generator as classic redaction: filled with grey."""

from dp2.config import L
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction

synthesizer = L(Redaction)(fill=L(Solid)(color="#808080"), shape="box", mask_scale=1.0)
