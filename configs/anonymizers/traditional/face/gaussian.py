"""Faces, blurred so that it cannot be undone."""

from ....generators.dummy.gaussian import synthesizer
from ...face_blur import anonymizer, batch_size, detector, device, engine, fallback, seed, tracker
