"""Bodies (Mask R-CNN, DensePose CSE) and faces (DSFD), replaced by DeepPrivacy2's generators; vehicles in a mosaic."""

from dp2.config import L
from dp2.detect.combine.multi_modal import MultiModal
from dp2.synthesize.fills import Mosaic
from dp2.synthesize.redact import Redaction

from ._face import dsfd as _dsfd
from ._full_body import surface_detector
from .face import synthesizer as face_synthesizer
from .FB_cse_mask import (
    anonymizer,
    batch_size,
    cse_person_generator,
    cse_person_synthesizer,
    device,
    fallback,
    person_generator,
    person_synthesizer,
    seed,
    tracker,
)

surface_detector.masks.kinds = ["vehicle", "person"]
detector = L(MultiModal)(
    faces=_dsfd,
    bodies=surface_detector,
)
del surface_detector
vehicle_synthesizer = L(Redaction)(fill=L(Mosaic)(level=8), shape="mask")
anonymizer.synthesizers.face = "${face_synthesizer}"
anonymizer.synthesizers.vehicle = "${vehicle_synthesizer}"
