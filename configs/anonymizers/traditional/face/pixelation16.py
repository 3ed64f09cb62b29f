"""Faces, in 16x16 cells, in which a face may be recognised."""

from ....generators.dummy.pixelation16 import synthesizer
from ...face_blur import anonymizer, batch_size, detector, device, engine, fallback, seed, tracker
