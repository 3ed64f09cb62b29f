"""Faces (CenterFace), blurred so that nothing can be recovered."""

from dp2.anonymizer import Anonymizer
from dp2.config import L
from dp2.synthesize.fills import Blur
from dp2.synthesize.redact import Redaction

from ..defaults import batch_size, device, engine, seed
from ._face import centerface as detector
from ._face import fallback, tracker

synthesizer = L(Redaction)(fill=L(Blur)(), shape="ellipse", mask_scale=1.3)
anonymizer = L(Anonymizer)(
    detector="${detector}",
    synthesizers={"face": "${synthesizer}"},
    fallback="${fallback}",
    tracker="${tracker}",
    seed="${seed}",
    batch_size="${batch_size}",
)
