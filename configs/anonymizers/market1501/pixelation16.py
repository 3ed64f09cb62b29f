"""Bodies in Market-1501 by their masks, in 16x16 cells, in which somebody may be recognised."""

from ...generators.dummy.pixelation16 import synthesizer
from ._market1501 import anonymizer, batch_size, detector, device, fallback, seed, tracker, vehicle_synthesizer

synthesizer.shape = "mask"
anonymizer.synthesizers.person = "${synthesizer}"
anonymizer.synthesizers.person_surface = "${synthesizer}"
