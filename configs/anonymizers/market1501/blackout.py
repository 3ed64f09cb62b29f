"""Bodies in Market-1501 by their masks, filled with grey."""

from ...generators.dummy.maskout import synthesizer
from ._market1501 import anonymizer, batch_size, detector, device, fallback, seed, tracker, vehicle_synthesizer

synthesizer.shape = "mask"
anonymizer.synthesizers.person = "${synthesizer}"
anonymizer.synthesizers.person_surface = "${synthesizer}"
