"""Bodies in Market-1501, replaced by DeepPrivacy2's generators; faces outside of bodies are redacted."""

from ..FB_cse_mask import cse_person_generator, cse_person_synthesizer, person_generator, person_synthesizer
from ._market1501 import anonymizer, batch_size, detector, device, fallback, seed, tracker, vehicle_synthesizer
