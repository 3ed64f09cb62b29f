"""As De-facer compares faces: FaceNet, distance 0.8, found by MTCNN with a score of 0.97."""

from dp2.config import L
from dp2.detect.faces.mtcnn import MTCNN
from dp2.faces.embedding import FaceNet

from .mobilefacenet import matching

matching.embedder = L(FaceNet)(device="${device}", weights="facenet/vggface2")
matching.faces = L(MTCNN)(min_size=20, thresholds=[0.6, 0.7, 0.7], score_threshold=0.97, device="${device}")
matching.distance = 0.8
matching.min_score = 0.97
matching.recheck = True
