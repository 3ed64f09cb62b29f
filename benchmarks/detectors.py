"""Face detectors side by side, and the heavy networks against their plain forward.

One thread and processor seconds, because other work on the machine then hardly counts. Heavy networks have random
weights, which do not change the speed: they are run as the detectors run them and as they are loaded, frame by frame in
float32. The floor is what the multiplications take at the rate of a large matrix product in the same process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from generator import product  # noqa: E402
from labels import Labelled, annotated, read  # noqa: E402

from dp2.config import build, load_config  # noqa: E402
from dp2.geometry.nms import areas, intersections  # noqa: E402
from dp2.models.faces.dsfd import DSFD  # noqa: E402
from dp2.models.fuse import fuse_for_inference  # noqa: E402
from dp2.models.rcnn.base import resize_shortest_edge  # noqa: E402
from dp2.models.rcnn.densepose_cse import DensePoseCSE  # noqa: E402
from dp2.models.rcnn.mask_rcnn import MaskRCNN  # noqa: E402
from dp2.models.rcnn.roi_heads import Selection  # noqa: E402
from dp2.types import Image  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
SMALLEST = 20  # pixels of the shorter side of a face that counts
REGIONS = 16  # that the heads of bodies look at
COVERED = 0.5  # of a label's area, by one box

Boxes = NDArray[np.float32]
Finder = Callable[[Image], Boxes]


def ours(name: str) -> Finder:
    """A detector of `configs/anonymizers/_face.py` with its defaults."""
    detector: Any = build(load_config("anonymizers/_face").detectors[name])
    return lambda image: detector([image])[0][0].boxes


def peer(weights: Path) -> Finder:
    """RetinaFace-MobileNet of the package face-detection; its download is answered with the local file."""
    state = torch.load(weights, weights_only=True, map_location="cpu")
    with patch("torch.hub.load_state_dict_from_url", lambda *_, **__: state):
        import face_detection
        from face_detection.retinaface import prior_box

        # With NumPy 2 its number of priors overflows int16
        count = prior_box.generate_prior_box
        prior_box.generate_prior_box = lambda maps, *rest: count(np.asarray(maps, np.int64), *rest)
        detector = face_detection.build_detector("RetinaNetMobileNetV1", 0.5, 0.3, device=torch.device("cpu"))
    return lambda image: np.asarray(detector.detect(image)[:, :4], np.float32)


def large(boxes: Boxes) -> Boxes:
    return boxes[np.minimum(*(boxes[:, 2:] - boxes[:, :2]).T) >= SMALLEST] if len(boxes) else boxes


def covers(boxes: Boxes, faces: Boxes) -> NDArray[np.bool_]:
    """(N, M) bool: which box covers which face."""
    shared: NDArray[np.bool_] = intersections(boxes, faces) >= COVERED * areas(faces)
    return shared


def agreed(found: Sequence[Boxes]) -> Boxes:
    """Faces that at least two detectors found, as boxes of the first that did."""
    faces: list[Boxes] = []
    for i, boxes in enumerate(found):
        others = sum(covers(other, boxes).any(axis=0).astype(int) for j, other in enumerate(found) if j != i)
        for box in boxes[np.asarray(others) >= 1] if len(boxes) else boxes:
            if not any(covers(box[None], face[None])[0, 0] or covers(face[None], box[None])[0, 0] for face in faces):
                faces.append(box)
    return large(np.array(faces, np.float32).reshape(-1, 4))


def faces_table(names: Sequence[str], weights: Path) -> None:
    """Every detector whose weights are here, on the labelled and on the other photos."""
    finders: dict[str, Finder] = {}
    for name in names:
        try:
            finders[name] = ours(name)
        except Exception as error:
            print(f"{name}: {error}")
    try:
        finders["face-detection 0.2.2, RetinaFace-MobileNet"] = peer(weights / "RetinaFace_mobilenet025.pth")
    except ImportError as error:
        print(f"face-detection: {error}")
    labelled = list(annotated(DATA / "people"))
    others = [
        Labelled(path.name, read(path), np.zeros((0, 4), np.float32))
        for path in sorted((DATA / "images").glob("*.jpg"))
    ]
    print(f"\nLabels: people/ annotators', images/ what two of these detectors agree on; from {SMALLEST} px.\n")
    print("| detector | people: of labels | other boxes | images: of agreed | other boxes | CPU ms a frame |")
    print("|---|---|---|---|---|---|", flush=True)
    answers: dict[str, list[Boxes]] = {}
    spent: dict[str, float] = {}
    for name, find in finders.items():
        find(others[0].image)
        began = time.process_time()
        answers[name] = [find(photo.image) for photo in (*labelled, *others)]
        spent[name] = (time.process_time() - began) / len(answers[name]) * 1e3
    truth = [large(photo.faces) for photo in labelled]
    truth += [agreed([answers[name][len(labelled) + i] for name in finders]) for i in range(len(others))]
    for name, found in answers.items():
        cells = []
        for part in (slice(0, len(labelled)), slice(len(labelled), None)):
            pairs = list(zip(found[part], truth[part], strict=True))
            hit = sum(int(covers(boxes, faces).any(axis=0).sum()) for boxes, faces in pairs)
            more = sum(int((~covers(large(boxes), faces).any(axis=1)).sum()) for boxes, faces in pairs)
            cells.append(f"{hit} of {sum(len(faces) for _, faces in pairs)} | {more}")
        print(f"| {name} | {' | '.join(cells)} | {spent[name]:.0f} |", flush=True)


def best(call: Callable[[], Any], repeats: int) -> float:
    """Processor seconds of the fastest call, after a first one."""
    call()
    found = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        found.append(time.process_time() - began)
    return min(found)


def heavy(name: str, short: int) -> tuple[nn.Module, Callable[[nn.Module], Any]]:
    """A network with random weights, and a frame through it; `short` is the shorter side of what it sees."""
    torch.manual_seed(0)
    frame = torch.from_numpy(cv2.resize(read(ROOT / "media" / "group.jpg"), (640, 480))).permute(2, 0, 1)
    if name == "DSFD":
        image = resize_shortest_edge(frame, min(short, 480), 640)[None].float()
        return DSFD().eval(), lambda network: network(image)
    network = MaskRCNN() if name == "Mask R-CNN X101" else DensePoseCSE()
    find_everything(network)
    image = resize_shortest_edge(frame, short)
    selection = Selection(score_threshold=0.3, per_image=REGIONS)
    return network.eval(), lambda network: network([image], [(480, 640)], selection)


def find_everything(network: nn.Module) -> None:
    """Every anchor is proposed and of the first class, so that the heads have something to do."""
    with torch.no_grad():
        for name in ("proposal_generator.rpn_head.anchor_deltas", "roi_heads.box_predictor.bbox_pred"):
            for parameter in network.get_submodule(name).parameters():
                parameter.zero_()
        for parameter in network.get_submodule("roi_heads.box_predictor.cls_score").parameters():
            parameter.zero_()
        network.get_parameter("roi_heads.box_predictor.cls_score.bias")[0] = 10.0


def heavy_table(short: int, repeats: int) -> None:
    """The networks of bodies and DSFD: plain, as the detector runs them, in bfloat16, and the floor."""
    print(f"\n640×480, shorter side of the network's input {short} (DSFD {min(short, 480)}), one frame, CPU s\n")
    print("| network | plain | as the detector | × plain | bf16 | floor | regions | load |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in ("Mask R-CNN X101", "CSE R101", "DSFD"):
        print(f"| {name} | {heavy_row(name, short, repeats)} | {os.getloadavg()[0]:.1f} |", flush=True)


@torch.inference_mode()
def heavy_row(name: str, short: int, repeats: int) -> str:
    """All but the first and the last cell of a network's row."""
    network, run = heavy(name, short)
    with FlopCounterMode(display=False) as counter:
        found = run(network)
    plain = best(lambda: run(network), repeats)
    floor = counter.get_total_flops() * product(torch.device("cpu"), torch.float32)[1]
    fuse_for_inference(network)
    fused = best(lambda: run(network), repeats)
    rough, run = heavy(name, short)
    fuse_for_inference(rough, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        half = best(lambda: run(rough), repeats)
    regions = "-" if name == "DSFD" else len(found[0].boxes)
    return f"{plain:.2f} | {fused:.2f} | {fused / plain:.2f} | {half:.2f} | {floor:.2f} | {regions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["faces", "heavy"])
    parser.add_argument("--detectors", nargs="*", default=["centerface", "mtcnn", "retinaface_mobilenet", "yunet"])
    parser.add_argument("--weights", type=Path, default=DATA / "weights")
    parser.add_argument("--short", type=int, default=800, help="shorter side of what the networks see")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    os.environ.setdefault("DP2_WEIGHTS", str(options.weights))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"torch {torch.__version__}, one thread, load {os.getloadavg()[0]:.1f}")
    if options.only != "heavy":
        faces_table(options.detectors, options.weights)
    if options.only != "faces":
        heavy_table(options.short, options.repeats)


if __name__ == "__main__":
    main()
