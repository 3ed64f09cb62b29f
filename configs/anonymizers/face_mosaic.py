"""Faces (MTCNN) in a mosaic of 7x7 cells, as PeekingDuck's privacy protection."""

from dp2.config import L
from dp2.detect.faces.mtcnn import MTCNN
from dp2.synthesize.fills import Mosaic
from dp2.synthesize.redact import Redaction

from .face_blur import anonymizer, batch_size, device, fallback, seed, tracker

detector = L(MTCNN)(min_size=40, thresholds=[0.6, 0.7, 0.7], score_threshold=0.7, device="${device}")
synthesizer = L(Redaction)(fill=L(Mosaic)(level=7), shape="box", mask_scale=1.3)
