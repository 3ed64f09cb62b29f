"""The parts that the light body anonymizers share: two small networks, at the speed of video on a processor."""

from dp2.config import L
from dp2.detect.people.light_bodies import LightBodies
from dp2.detect.people.matte import SelfieMatte
from dp2.detect.people.yolox import Yolox

from .face_blur import anonymizer, batch_size, device, engine, fallback, seed, tracker

# A larger input_size finds smaller people and takes more time: about in proportion to its square.
detector = L(LightBodies)(
    boxes=L(Yolox)(
        kinds=["person"],
        score_threshold=0.25,
        input_size=640,
        engine="${engine}",
        device="${device}",
        weights="yolox_nano",
    ),
    matte=L(SelfieMatte)(threshold=0.1, engine="${engine}", device="${device}", weights="selfie_segmentation"),
)
# A body that enters or leaves is cut off by the frame: the small network knows it later, and loses it earlier.
tracker.coast = 0.5
tracker.coast_back = 0.5
fallback.shape = "mask"
anonymizer.synthesizers = {"person": "${synthesizer}"}
