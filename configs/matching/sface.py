"""Faces compared by SFace, whose weights are under Apache-2.0.

The limit is not measured: the weights could not be had where dp2 was measured. The published limits, most accurate on
LFW, are 1.128 (OpenCV's demo) and 1.055 (deepface); this one is well below both, for who is doubtful is anonymized.
`benchmarks/keep.py --matching sface` measures it.
"""

from dp2.config import L
from dp2.faces.sface import SFace

from .mobilefacenet import matching

matching.embedder = L(SFace)(device="${device}", weights="sface")
matching.distance = 0.85
