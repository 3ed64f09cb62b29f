"""Bodies in Market-1501 by their masks, in 8x8 cells."""

from ...generators.dummy.pixelation8 import synthesizer
from ._market1501 import anonymizer, batch_size, detector, device, fallback, seed, tracker, vehicle_synthesizer

synthesizer.shape = "mask"
anonymizer.synthesizers.person = "${synthesizer}"
anonymizer.synthesizers.person_surface = "${synthesizer}"
