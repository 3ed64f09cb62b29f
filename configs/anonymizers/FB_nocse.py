"""Bodies (Mask R-CNN), replaced by DeepPrivacy2's generator from their masks alone."""

from ._full_body import anonymizer, batch_size, device, fallback, person_synthesizer, seed, tracker
from ._full_body import mask_detector as detector

person_generator = "configs/fdh/styleganL_nocse.py"
anonymizer.synthesizers = {"person": "${person_synthesizer}"}
