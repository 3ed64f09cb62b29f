"""The parts that the face anonymizers share; `detectors` are those that --detector NAME chooses from."""

from dp2.config import L
from dp2.detect.combine.multiscale import MultiScale
from dp2.detect.faces.centerface import CenterFace
from dp2.detect.faces.dsfd import DSFD
from dp2.detect.faces.mtcnn import MTCNN
from dp2.detect.faces.retinaface import RetinaFace
from dp2.detect.faces.yunet import YuNet
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction
from dp2.track.tracker import Tracking

from ..defaults import device, engine

# As published: DeepPrivacy2's detector, at the size of the frame. Most thorough, and slowest.
dsfd = L(DSFD)(score_threshold=0.3, nms_iou=0.3, scale=1.0, device="${device}", amp=None, weights="dsfd")
retinaface = L(RetinaFace)(
    score_threshold=0.15, scale="auto", device="${device}", amp=None, weights="retinaface/resnet50"
)
retinaface_mobilenet = L(RetinaFace)(
    score_threshold=0.15, scale="auto", device="${device}", amp=None, weights="retinaface/mobilenet"
)
# A second and third pass at 1/2 and 1/4 finds the large faces that the full size misses: see benchmarks/leak.py.
centerface = L(MultiScale)(
    detector=L(CenterFace)(
        score_threshold="${..score_threshold}",
        scale="auto",
        engine="${engine}",
        device="${device}",
    ),
    scales="auto",
    score_threshold=0.2,
)
yunet = L(MultiScale)(
    detector=L(YuNet)(
        score_threshold="${..score_threshold}",
        scale="auto",
        engine="${engine}",
        device="${device}",
        weights="yunet",
    ),
    scales="auto",
    score_threshold=0.2,
)
mtcnn = L(MTCNN)(min_size=20, thresholds=[0.6, 0.7, 0.7], score_threshold=0.7, device="${device}")
detectors = {
    "dsfd": dsfd,
    "retinaface": retinaface,
    "retinaface_mobilenet": retinaface_mobilenet,
    "yunet": yunet,
    "centerface": centerface,
    "mtcnn": mtcnn,
}
tracker = L(Tracking)()
fallback = L(Redaction)(fill=L(Solid)(), shape="ellipse", mask_scale=1.3)
