"""Bodies (Mask R-CNN, DensePose CSE), replaced by DeepPrivacy2's generators by their surface, or by their mask."""

from ._full_body import person_synthesizer
from .FB_cse import (
    anonymizer,
    batch_size,
    cse_person_generator,
    cse_person_synthesizer,
    detector,
    device,
    fallback,
    seed,
    tracker,
)

person_generator = "configs/fdh/styleganL_nocse.py"
anonymizer.synthesizers.person = "${person_synthesizer}"
