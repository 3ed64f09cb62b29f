"""The parts that the body anonymizers share."""

from dp2.config import L
from dp2.detect.people.person_masks import PersonMasks

from .face_blur import anonymizer, batch_size, device, fallback, seed, tracker

detector = L(PersonMasks)(score_threshold=0.3, device="${device}", amp=None, weights="torchvision/mask_rcnn_v2")
fallback.shape = "mask"
anonymizer.synthesizers = {"person": "${synthesizer}"}
