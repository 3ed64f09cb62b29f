"""The graphs that run without torch compute what the trained modules compute."""

from __future__ import annotations

import numpy as np
import torch

from dp2.faces.graphs import harmonizer_onnx, pose_onnx
from dp2.inference.engine import load_engine
from dp2.inference.network import Network
from dp2.models.face_pose import FacePoseNet
from dp2.models.harmonizer import Harmonizer
from dp2.weights.tables import CheckpointArrays


def _arrays(network: torch.nn.Module) -> CheckpointArrays:
    return CheckpointArrays({k: v.numpy() for k, v in network.state_dict().items()}, "random weights", "the network")


def test_the_harmonizers_graph_equals_its_module_at_both_sizes() -> None:
    torch.manual_seed(0)
    widths = (8, 12, 16, 20, 24, 24)
    network = Harmonizer(widths=widths).eval()
    for side in (64, 128):
        seen = torch.rand(1, 8, side, side)
        with torch.inference_mode():
            wanted = network(seen[:, :3], seen[:, 3:4], seen[:, 4:7], seen[:, 7:]).numpy()
        got = load_engine(Network(harmonizer_onnx(_arrays(network), side, widths)), engine="onnxruntime").run_named(
            {"seen": seen.numpy()}
        )[0]
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_the_pose_networks_graph_equals_its_module() -> None:
    torch.manual_seed(0)
    network = FacePoseNet().eval()
    crop = torch.rand(1, 3, 96, 96) * 2 - 1
    with torch.inference_mode():
        told = network(crop)
    wanted = torch.cat([told.pose, told.face, told.mask.flatten(1)], 1).numpy()
    got = load_engine(Network(pose_onnx(_arrays(network))), engine="onnxruntime").run_named({"crop": crop.numpy()})[0]
    np.testing.assert_allclose(got, wanted, atol=1e-4)
