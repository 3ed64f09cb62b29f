"""Bodies by their masks, blurred so that it cannot be undone."""

from ....generators.dummy.gaussian import synthesizer
from ..._body import anonymizer, batch_size, detector, device, fallback, seed, tracker

synthesizer.shape = "mask"
