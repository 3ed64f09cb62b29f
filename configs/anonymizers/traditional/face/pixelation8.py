"""Faces, in 8x8 cells."""

from ....generators.dummy.pixelation8 import synthesizer
from ...face_blur import anonymizer, batch_size, detector, device, engine, fallback, seed, tracker
