"""Faces, filled with grey."""

from ....generators.dummy.maskout import synthesizer
from ...face_blur import anonymizer, batch_size, detector, device, engine, fallback, seed, tracker
