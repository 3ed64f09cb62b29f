"""The parts that DeepPrivacy2's full-body anonymizers share: its detectors, and its generators of bodies."""

from dp2.config import L
from dp2.detect.people.densepose_cse import DensePoseCSE
from dp2.detect.people.mask_rcnn import MaskRCNN
from dp2.detect.people.surface_people import SurfacePeople
from dp2.synthesize.crops import BodyCrop
from dp2.synthesize.inpaint import Inpainter

from .face_blur import anonymizer, batch_size, device, fallback, seed, tracker

mask_detector = L(MaskRCNN)(
    kinds=["person"], score_threshold=0.3, device="${device}", amp=None, weights="mask_rcnn/X101"
)
surface_detector = L(SurfacePeople)(
    masks=mask_detector,
    surfaces=L(DensePoseCSE)(
        backbone="R101_DL_soft", score_threshold=0.3, device="${device}", amp=None, weights="cse/R101_DL_soft"
    ),
    iou=0.4,
)
person_synthesizer = L(Inpainter)(
    generator="${person_generator}",
    crop=L(BodyCrop)(size=[288, 160]),
    truncation=0.0,
    multi_modal_truncation=False,
    paste="natural",
    batch_size=8,
    amp=None,
    device="${device}",
    compile=False,
)
cse_person_synthesizer = L(Inpainter)(
    generator="${cse_person_generator}",
    crop=L(BodyCrop)(size=[288, 160], embedding="cse/R101_DL_soft", device="${device}"),
    truncation=0.0,
    multi_modal_truncation=False,
    paste="natural",
    batch_size=8,
    amp=None,
    device="${device}",
    compile=False,
)
fallback.shape = "mask"
