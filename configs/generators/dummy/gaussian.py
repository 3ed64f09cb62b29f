"""DeepPrivacy2's dummy generator as classic redaction: blurred so that it cannot be undone."""

from dp2.config import L
from dp2.synthesize.fills import Blur
from dp2.synthesize.redact import Redaction

# The published blur, sigma 7 at 256x256 pixels, is weak enough to be undone; this one is not.
synthesizer = L(Redaction)(fill=L(Blur)(), shape="box", mask_scale=1.0)
