"""The parts that the face anonymizers share."""

from dp2.config import L
from dp2.detect.centerface import CenterFace
from dp2.detect.multiscale import MultiScale
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction
from dp2.track.tracker import Tracking

# A second and third pass at 1/2 and 1/4 finds the large faces that the full size misses: see benchmarks/leak.py.
centerface = L(MultiScale)(
    detector=L(CenterFace)(
        score_threshold="${..score_threshold}",
        scale="auto",
        engine="${engine}",
        device="${device}",
    ),
    scales="auto",
    score_threshold=0.2,
)
tracker = L(Tracking)()
fallback = L(Redaction)(fill=L(Solid)(), shape="ellipse", mask_scale=1.3)
