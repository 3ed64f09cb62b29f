"""Bodies by their masks, in 8x8 cells."""

from ....generators.dummy.pixelation8 import synthesizer
from ..._body import anonymizer, batch_size, detector, device, fallback, seed, tracker

synthesizer.shape = "mask"
