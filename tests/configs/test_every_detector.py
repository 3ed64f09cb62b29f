"""The full networks of all detectors with random weights, in their published formats and in the configs that use them.

Gigabytes and minutes: only with DP2_FULL_SIZE=1. What the detectors do is tested with small networks in tests/detect.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dp2.config import build, load_config
from dp2.detect.people import densepose_cse, mask_rcnn, person_keypoints, person_masks
from dp2.models import vit_pose
from dp2.models.faces import dsfd
from dp2.weights.registry import entries

pytestmark = pytest.mark.skipif(os.environ.get("DP2_FULL_SIZE") != "1", reason="takes minutes; DP2_FULL_SIZE=1 runs it")

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mask_rcnn/X101": mask_rcnn._build,
    "torchvision/mask_rcnn_v2": person_masks._build,
    "torchvision/keypoint_rcnn": person_keypoints._build,
    "dsfd": dsfd.DSFD,
    "vitpose/huge": lambda: vit_pose.ViTPose(vit_pose.HUGE),
}
CONFIGS = {
    "FB_nocse": ["mask_rcnn/X101"],
    "FB_cse": ["mask_rcnn/X101", "cse/R101_DL_soft"],
    "FB_cse_mask_face": ["mask_rcnn/X101", "cse/R101_DL_soft", "dsfd"],
    "FB_triagan": ["mask_rcnn/X101", "vitpose/huge"],
    "market1501/person": ["mask_rcnn/X101", "cse/R101_DL_soft", "dsfd"],
    "deep_privacy1": ["dsfd", "torchvision/keypoint_rcnn"],
    "face": ["dsfd"],
    "traditional/body/maskout": ["torchvision/mask_rcnn_v2"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detectors")


def provide(folder: Path, name: str) -> None:
    """Write a random checkpoint once: detectron2's as a pickle with a stale anchor, others as PyTorch saves them."""
    entry = entries()[name]
    if (folder / entry.file).exists():
        return
    torch.manual_seed(0)
    network = NETWORKS[name]() if name in NETWORKS else cse()
    state = network.state_dict()
    if name == "dsfd":
        state = {published_dsfd(key): value for key, value in state.items()}
        assert set(dsfd.rename_published(state)) == set(network.state_dict())
    if entry.format == "detectron2":
        model: dict[str, Any] = {key: value.numpy() for key, value in state.items()}
        model["proposal_generator.anchor_generator.cell_anchors.0"] = np.zeros((3, 4), np.float32)
        (folder / entry.file).write_bytes(pickle.dumps({"model": model, "__author__": "test"}))
    else:
        torch.save(state, folder / entry.file)


def published_dsfd(key: str) -> str:
    """A key of DSFD's checkpoint, from the network's."""
    key = key.replace(".shortcut.norm.", ".downsample.1.").replace(".shortcut.", ".downsample.0.")
    key = re.sub(r"\.conv([123])\.norm\.", r".bn\1.", key) if not key.startswith("backbone.stem") else key
    key = re.sub(
        r"^(layer[56])\.([01])\.(norm\.)?", lambda found: f"{found[1]}.{3 * int(found[2]) + bool(found[3])}.", key
    )
    key = key.replace("backbone.stem.conv1.norm.", "layer1.1.").replace("backbone.stem.conv1.", "layer1.0.")
    key = key.replace("backbone.res2.", "layer1.4.")
    return re.sub(r"^backbone\.res([345])\.", lambda found: f"layer{int(found[1]) - 1}.0.", key)


def cse() -> nn.Module:
    detector = object.__new__(densepose_cse.DensePoseCSE)
    detector.backbone = "R101_DL_soft"
    return detector._build()


@pytest.mark.parametrize("config", CONFIGS)
def test_detector_answers_for_every_kind(
    config: str, folder: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray
) -> None:
    for name in CONFIGS[config]:
        provide(folder, name)
    monkeypatch.setenv("DP2_WEIGHTS", str(folder))
    detector = build(load_config(config).detector)
    image = np.ascontiguousarray(astronaut[100:132, 40:440])  # R-CNNs enlarge a long strip least
    (found,) = detector([image], relax=0.5)
    assert tuple(part.kind for part in found) == detector.kinds
    for part in found:
        assert np.isfinite(part.boxes).all()
        assert part.masks is None or part.masks.shape[1:] == image.shape[:2]
