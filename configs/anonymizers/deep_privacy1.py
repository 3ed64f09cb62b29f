"""Faces (DSFD) with keypoints (Keypoint R-CNN), replaced by DeepPrivacy1's generator at 128x128."""

from dp2.config import L
from dp2.detect.faces.face_keypoints import FaceKeypoints
from dp2.detect.people.person_keypoints import PersonKeypoints

from ._face import dsfd as _dsfd
from .face_fdf128 import anonymizer, batch_size, device, fallback, seed, synthesizer, tracker

detector = L(FaceKeypoints)(
    faces=_dsfd,
    people=L(PersonKeypoints)(score_threshold=0.3, device="${device}", amp=None, weights="torchvision/keypoint_rcnn"),
)
synthesizer.generator = "configs/fdf/deep_privacy1.py"
synthesizer.crop.keypoints = True
