"""Faces compared by MobileFaceNet; the limits are measured in benchmarks/keep.py."""

from dp2.choose.matching import Matching
from dp2.config import L
from dp2.faces.embedding import MobileFaceNet

from ..anonymizers._face import centerface as _faces

matching = L(Matching)(
    embedder=L(MobileFaceNet)(device="${device}", weights="mobilefacenet"),
    faces=_faces,
    distance=0.9,
    doubt=0.15,
    margin=0.05,
    samples=3,
    interval=0.4,
    min_score=0.5,
    min_size=28,
    min_frontal=0.4,
    min_sharpness=0.1,
    recheck=False,
)
