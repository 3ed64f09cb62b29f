"""Bodies (Mask R-CNN, DensePose CSE), replaced by DeepPrivacy2's generator by their surface; redacted without one."""

from ._full_body import anonymizer, batch_size, cse_person_synthesizer, device, fallback, seed, tracker
from ._full_body import surface_detector as detector

cse_person_generator = "configs/fdh/styleganL.py"
anonymizer.synthesizers = {"person_surface": "${cse_person_synthesizer}"}
