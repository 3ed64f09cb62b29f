"""Names of categories in COCO files, and the kinds that they are for dp2."""

from __future__ import annotations

from dp2.types import FACE, PERSON, PLATE, VEHICLE

_KINDS = {
    "person": PERSON,
    "people": PERSON,
    "pedestrian": PERSON,
    "human": PERSON,
    "face": FACE,
    "human face": FACE,
    # Those that carry a number plate
    "vehicle": VEHICLE,
    "car": VEHICLE,
    "motorcycle": VEHICLE,
    "bus": VEHICLE,
    "truck": VEHICLE,
    "plate": PLATE,
    "license plate": PLATE,
    "licence plate": PLATE,
    "number plate": PLATE,
}
# The rest of COCO's 80 categories (Lin et al. 2014, arXiv 1405.0312): nobody is recognised by them.
# fmt: off
_THINGS = frozenset((
    "bicycle", "airplane", "train", "boat", "traffic light", "fire hydrant", "stop sign", "parking meter",
    "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack",
    "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup",
    "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog",
    "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop",
    "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book",
    "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
))
# fmt: on


def kind_of(name: str) -> str | None:
    """The kind of a category; None for COCO's things; other names are kinds of their own."""
    word = name.strip().lower().replace("_", " ")
    if word in _THINGS:
        return None
    return _KINDS.get(word, name.strip())
