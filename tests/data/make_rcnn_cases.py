"""Reduced parity cases of the R-CNN family: small widths, weights seeded by their published names.

The stored outputs were computed by the plain, unfused networks at the commit at which those passed the full cases of
../shared/parity; they keep a later change from passing unnoticed where that folder is absent. From the root:

    python tests/data/make_rcnn_cases.py
"""

from __future__ import annotations

import importlib.util
import json
import pickle
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dp2.models.rcnn.densepose_cse import CSESettings, DensePoseCSE
from dp2.models.fuse import fuse_for_inference
from dp2.models.rcnn.keypoint_rcnn import KeypointRCNN
from dp2.models.rcnn.mask_rcnn import MaskRCNN
from dp2.models.rcnn.base import LEFTOVERS, RCNNSettings, resize_shortest_edge
from dp2.models.rcnn.resnet_fpn import BackboneSettings
from dp2.models.rcnn.roi_align import RoiAlign
from dp2.models.rcnn.roi_heads import Selection
from dp2.models.rcnn.rpn import ProposalSettings
from dp2.weights.loading import load_checkpoint, load_strict, network_state

HERE = Path(__file__).parent
CASES = HERE / "rcnn_cases.npz"

SIZES = ((72, 101), (101, 72), (72, 101))
SELECTION = Selection(score_threshold=0.3)


def normal(key: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal values that depend on nothing but a name."""
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def seeded_weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """A parameter at a scale that lets detections through."""
    n = normal(key, shape)
    leaf = key.rsplit(".", 1)[-1]
    if "embedder" in key:
        return n
    if leaf == "running_var":
        return 1 + 0.1 * n.clamp(-3, 3)
    if len(shape) == 1:
        return 1 + 0.1 * n if leaf == "weight" else 0.03 * n
    gains = {"stem": 2e-3, "fpn_": 1.0, "rpn": 0.1, "cls_score": 2.0, "bbox_pred": 0.5, "score_lowres": 0.1}
    if key.endswith(("cls_score.weight", "predictor.weight", "segm_lowres.weight")):
        n = n - n.mean(dim=1, keepdim=True)  # inputs are positive: their common part would decide alone
    gain = next((gain for part, gain in gains.items() if part in key), 2.0)
    return n * (gain / n[0].numel()) ** 0.5


def seeded(network: nn.Module) -> dict[str, Tensor]:
    """A state dict for this network."""
    state = {key: seeded_weight(key, tuple(value.shape)) for key, value in network.state_dict().items()}
    state["backbone.bottom_up.stem.conv1.weight"] *= network.get_buffer("pixel_std").mean()
    return state


def small(name: str) -> nn.Module:
    """One of the networks with small widths, without its weights."""
    grouped = {"groups": 4, "width_per_group": 4, "stride_in_1x1": False}
    plain = {"groups": 1, "width_per_group": 8, "stride_in_1x1": True}
    backbone = BackboneSettings(
        depths=(1, 2, 1, 1),
        stem_channels=8,
        res2_channels=32,
        fpn_channels=32,
        **(grouped if name == "mask_rcnn" else plain),
    )
    proposals = ProposalSettings(per_level=60, per_image=40, anchor_sizes=(8, 16, 32, 64, 128))
    if name == "mask_rcnn":
        std = (57.0, 58.0, 59.0)
        return MaskRCNN(settings=RCNNSettings(backbone, proposals, classes=3, hidden=32, pixel_std=std))
    if name == "keypoint_rcnn":
        settings = RCNNSettings(backbone, proposals, classes=1, hidden=32)
        return KeypointRCNN(settings=settings, widths=(32, 32), keypoints=5)
    settings = RCNNSettings(backbone, proposals, classes=1, hidden=32, box_align=RoiAlign(False, 2))
    deeplab = name == "densepose_cse"
    sizes = {"decoder_width": 64, "head_width": 64, "head_convs": 2, "vertices": 300, "vertex_features": 12}
    return DensePoseCSE(settings=CSESettings(rcnn=settings, deeplab=deeplab, **sizes))


def frames() -> list[Tensor]:
    """(3, H, W) uint8 each, smooth noise: two landscapes and a portrait.

    They are stored: made anew, a byte fell to the other side on another machine, and moved scores by a thousandth.
    """
    with np.load(CASES) as stored:
        return [torch.from_numpy(stored[f"frame/{i}"]) for i in range(len(SIZES))]


def images(name: str) -> list[Tensor]:
    """The frames, resized as the network wants them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # the resize of bytes rounds differently with one thread
    given = [frame.float() if name == "keypoint_rcnn" else frame for frame in frames()]
    resized = [resize_shortest_edge(frame, short=96, longest=160) for frame in given]
    torch.set_num_threads(threads)
    return resized


def write_pickle(path: Path, state: Mapping[str, Tensor], stale: bool = True) -> Path:
    """The state as a file of detectron2's model zoo, with the constants that old ones hold."""
    model: dict[str, Any] = {key: value.numpy() for key, value in state.items()}
    if stale:
        for level in range(5):
            model[f"proposal_generator.anchor_generator.cell_anchors.{level}"] = np.zeros((3, 4), np.float32)
        model["pixel_mean"] = np.zeros((3, 1, 1), np.float32)
        model["pixel_std"] = np.ones((3, 1, 1), np.float32)
    with path.open("wb") as file:
        pickle.dump({"model": model, "__author__": "Detectron2 Model Zoo"}, file, protocol=2)
    return path


def load_pickle(network: nn.Module, path: Path) -> nn.Module:
    """The network with the file's weights, by the path that published files take."""
    load_strict(network, network_state(load_checkpoint(path), str(path)), LEFTOVERS, str(path))
    return network.eval()


def loaded(name: str, folder: Path) -> nn.Module:
    """A small network with seeded weights, through a file."""
    network = small(name)
    return load_pickle(network, write_pickle(folder / f"{name}.pkl", seeded(network)))


def error(ours: Tensor, expected: Tensor) -> float:
    """‖ours − expected‖ / ‖expected‖."""
    ours, expected = ours.detach().double(), expected.double()
    difference = torch.linalg.vector_norm(ours - expected)
    return float(difference / torch.linalg.vector_norm(expected).clamp(min=1e-12))


def stored(name: str, detections: Any) -> dict[str, Any]:
    """What is kept of one image's detections, small enough for a repository."""
    fields = {field: getattr(detections, field) for field in detections.__dataclass_fields__}
    if "embedding" in fields:
        fields["embedding"] = fields["embedding"][:2, :, ::8, ::8]
    return {
        f"{name}/{field}": np.packbits(value.numpy()) if value.dtype == torch.bool else value.numpy()
        for field, value in fields.items()
    }


def mismatches(name: str, detections: Any, expected: Mapping[str, Any]) -> list[str]:
    """Fields of one image's detections that differ from the stored ones."""
    problems = []
    for key, ours in stored(name, detections).items():
        theirs = expected[key]
        if ours.shape != theirs.shape:
            problems.append(f"{key}: {ours.shape}, not {theirs.shape}")
        elif ours.dtype == np.uint8:
            share = np.unpackbits(ours ^ theirs).mean() if ours.size else 0
            problems += [f"{key}: {share:.2%} of pixels differ"] if share > 1e-3 else []
        elif ours.size and error(torch.from_numpy(ours), torch.from_numpy(theirs)) > 1e-4:
            problems.append(f"{key}: differs by {error(torch.from_numpy(ours), torch.from_numpy(theirs)):.1e}")
    return problems


def recipe(parity: Path) -> Any:
    """The module that rebuilds published weights; skips the test where it is absent."""
    if not (parity / "recipe.py").is_file():
        pytest.skip("../shared/parity is not there")
    spec = importlib.util.spec_from_file_location("recipe", parity / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_names(name: str, build: Callable[[], nn.Module], parity: Path) -> None:
    """The network has exactly the published keys and shapes."""
    recipe(parity)
    published = {k: tuple(v) for k, v in json.loads((parity / f"{name}.json").read_text())["keys"].items()}
    with torch.device("meta"):
        ours = {key: tuple(value.shape) for key, value in build().state_dict().items()}
    assert ours == published


def full_case(
    name: str, build: Callable[[], nn.Module], parity: Path, folder: Path, fused: bool
) -> tuple[dict[str, Tensor], nn.Module, dict[str, Any]]:
    """A published case, its network loaded through a detectron2 file, and what its parts will have seen and given."""
    given = recipe(parity)
    network = build()
    path = write_pickle(folder / f"{name}.pkl", given.weights(name))
    load_pickle(network, path)
    path.unlink()
    if fused:
        fuse_for_inference(network)
    seen: dict[str, Any] = {}
    heads = [f"roi_heads.{head}" for head in ("box_predictor", "decoder", "densepose_head")]
    for part in ["backbone", "proposal_generator", "proposal_generator.rpn_head", *heads]:
        if part in dict(network.named_modules()):
            hook = lambda _, into, out, part=part: seen.update({part: out, f"{part}/in": into[0]})  # noqa: E731
            network.get_submodule(part).register_forward_hook(hook)
    return given.case(name)[0], network, seen


def stage_errors(case: Mapping[str, Tensor], seen: Mapping[str, Any]) -> dict[str, float]:
    """Relative error of every stored tensor between input and detections.

    Proposals that score the same up to rounding may swap places; each is compared with the stored one at its place.
    """
    pyramid = seen["backbone"]
    pairs = {f"fpn_{level}": pyramid[level][..., ::8, ::8] for level in ("p2", "p3", "p4")}
    pairs |= {f"fpn_{level}": pyramid[level] for level in ("p5", "p6")}
    pairs["fpn_input"] = seen["backbone/in"][..., ::8, ::8]
    for i, maps in enumerate(zip(*seen["proposal_generator.rpn_head"], strict=True)):
        if i >= 2:
            pairs[f"rpn_logits/{i - 2}"], pairs[f"rpn_deltas/{i - 2}"] = maps
    if "roi_heads.decoder" in seen:
        pairs["decoder_out"] = seen["roi_heads.decoder"][..., ::8, ::8]
        pairs["dp_head_in"] = seen["roi_heads.densepose_head/in"][:2]
        pairs["dp_head_out"] = seen["roi_heads.densepose_head"][:2]
    errors = {key: error(value, case[f"cap/{key}"]) for key, value in pairs.items()}
    boxes, logits = seen["proposal_generator"][0]
    scores, deltas = seen["roi_heads.box_predictor"]
    distance, place = torch.cdist(boxes.double(), case["cap/prop_boxes"].double()).min(dim=1)
    same = distance < 0.05
    if same.float().mean() < 0.995:
        raise AssertionError(f"{(~same).sum()} of {len(same)} proposals are not among the stored ones")
    rows = {"prop_boxes": boxes, "prop_logits": logits, "box_scores": scores, "box_deltas": deltas}
    return errors | {key: error(value[same], case[f"cap/{key}"][place[same]]) for key, value in rows.items()}


NAMES = ("mask_rcnn", "keypoint_rcnn", "densepose_cse", "densepose_cse_r50")


def main() -> None:
    results: dict[str, Any] = {f"frame/{i}": frame.numpy() for i, frame in enumerate(frames())}
    for name in NAMES:
        network = small(name)
        network.load_state_dict(seeded(network))
        with torch.inference_mode():
            for i, detections in enumerate(network.eval()(images(name), SIZES, SELECTION)):
                results |= stored(f"{name}/{i}", detections)
    np.savez_compressed(CASES, **results)


if __name__ == "__main__":
    main()
