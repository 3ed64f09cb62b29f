"""Bodies by their masks, filled with grey."""

from ....generators.dummy.maskout import synthesizer
from ..._body import anonymizer, batch_size, detector, device, fallback, seed, tracker

synthesizer.shape = "mask"
