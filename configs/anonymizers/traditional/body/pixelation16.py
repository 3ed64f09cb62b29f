"""Bodies by their masks, in 16x16 cells, in which a face may be recognised."""

from ....generators.dummy.pixelation16 import synthesizer
from ..._body import anonymizer, batch_size, detector, device, fallback, seed, tracker

synthesizer.shape = "mask"
