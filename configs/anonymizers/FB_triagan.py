"""Bodies (Mask R-CNN, ViTPose), replaced by the generator TriaGAN by their keypoints."""

from dp2.config import L
from dp2.detect.people.posed_people import PosedPeople

from .FB_nocse import anonymizer, batch_size, device, fallback, person_synthesizer, seed, tracker
from .FB_nocse import detector as mask_detector

detector = L(PosedPeople)(people=mask_detector, model="huge", device="${device}", amp=None, weights="vitpose/huge")
del mask_detector
person_generator = "configs/fdh/triagan/L_im288.py"
person_synthesizer.crop.keypoints = True
person_synthesizer.crop.joint_map = True
person_synthesizer.crop.silhouette = True
person_synthesizer.crop.visibility = 0.3
