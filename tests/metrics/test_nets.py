"""The networks behind metrics: published ones equal the libraries', stand-ins say that they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dp2.errors import CheckpointMismatch
from dp2.metrics.clip import Clip, _prepared
from dp2.metrics.features import SeededConvolutions
from dp2.metrics.inception import Inception
from dp2.metrics.perceptual import Lpips, SeededDistance


def pictures(count: int = 2, side: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, (count, 3, side, side)).astype(np.uint8))


def test_stand_ins_are_the_same_on_every_machine() -> None:
    first, again = SeededConvolutions(seed=4)(pictures()), SeededConvolutions(seed=4)(pictures())
    assert torch.equal(first, again)
    assert not torch.equal(first, SeededConvolutions(seed=5)(pictures()))
    known = np.random.RandomState(4).normal(size=(16, 3, 3, 3)) * np.sqrt(2 / 27)
    assert np.allclose(SeededConvolutions(seed=4).layers[0].weight, known)
    assert "stand-in" in SeededConvolutions().name
    assert SeededConvolutions().suffix == SeededDistance().suffix == "-like"


def test_the_stand_in_distance_grows_with_the_change() -> None:
    y, x = np.mgrid[:64, :64]
    plain = torch.from_numpy(np.stack([np.sin(x / 9), np.cos(y / 7), x / 64]).astype(np.float32))[None]
    noise = torch.from_numpy(np.random.RandomState(0).normal(size=(1, 3, 64, 64)).astype(np.float32))
    net = SeededDistance()
    near, far = net(plain, plain + 0.05 * noise), net(plain, plain + 0.4 * noise)
    assert net(plain, plain).item() == 0
    assert 0 < near.item() < far.item()


@pytest.fixture(scope="module")
def lpips_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torchvision's VGG-16 file with seeded numbers; the classifier, which is not used, small."""
    from torchvision.models import vgg16

    torch.manual_seed(0)
    with torch.device("meta"):
        layout = vgg16(weights=None).state_dict()
    state = {}
    for key, value in layout.items():
        if key.startswith("features"):
            fan = value[0].numel() if value.ndim > 1 else 1
            state[key] = torch.randn(value.shape) * ((2 / fan) ** 0.5 if value.ndim > 1 else 0.1)
        else:
            state[key] = torch.zeros(1)
    path = tmp_path_factory.mktemp("lpips") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_lpips_equals_torchmetrics(lpips_backbone: Path) -> None:
    peer_module = pytest.importorskip("torchmetrics.functional.image.lpips")
    peer = peer_module._LPIPS(pretrained=True, net="vgg", pnet_rand=True)
    state = {k: v for k, v in torch.load(lpips_backbone, weights_only=True).items() if k.startswith("features")}
    names = [name for name in peer.net.state_dict() if name.startswith("slice")]
    peer.net.load_state_dict({name: state[f"features.{name.split('.', 1)[1]}"] for name in names})
    a, b = (pictures(seed=seed).float() / 127.5 - 1 for seed in (0, 1))
    with torch.no_grad():
        expected = peer(a, b).flatten()
    found = Lpips(device="cpu", backbone=str(lpips_backbone))(a, b)
    assert torch.allclose(found, expected, rtol=1e-4)
    assert torch.equal(Lpips(device="cpu", backbone=str(lpips_backbone))(a, a), torch.zeros(2))


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    with torch.device("meta"):
        blank = type("Blank", (inception.FeatureExtractorInceptionV3,), {"load_state_dict": lambda self, state: None})
        folder = tmp_path_factory.mktemp("inception")
        torch.save({}, folder / "empty.pth")
        layout = blank("inception-v3-compat", ["2048"], str(folder / "empty.pth")).state_dict()
    torch.manual_seed(0)
    state = {}
    for key, value in layout.items():
        if value.dtype == torch.int64:
            state[key] = torch.zeros((), dtype=torch.int64)
        elif key.endswith("running_var"):
            state[key] = torch.ones(value.shape)
        else:
            fan = value[0].numel() if value.ndim > 1 else 100
            state[key] = torch.randn(value.shape) * (2 / fan) ** 0.5 + float(key.endswith("bn.weight"))
    torch.save(state, folder / "inception.pth")
    return folder / "inception.pth"


def test_inception_is_torch_fidelitys_with_our_file(inception_file: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    peer = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(inception_file))
    net = Inception(device="cpu", weights=str(inception_file))
    assert torch.equal(net(pictures(1)), peer(pictures(1))[0])
    assert net.suffix == ""


def test_a_file_of_another_network_is_refused(lpips_backbone: Path) -> None:
    pytest.importorskip("torch_fidelity")
    with pytest.raises(CheckpointMismatch, match="Inception"):
        Inception(device="cpu", weights=str(lpips_backbone))(pictures(1))
    with pytest.raises(CheckpointMismatch, match="VisionTransformer"):
        Clip(device="cpu", weights=str(lpips_backbone))(pictures(1))


def test_clip_pictures_are_prepared_as_published() -> None:
    """The published preparation: shorter side to 224 (bicubic), the middle, CLIP's mean and spread."""
    ready = _prepared(torch.full((1, 3, 100, 150), 128, dtype=torch.uint8))
    assert ready.shape == (1, 3, 224, 224)
    expected = (128 / 255 - np.array([0.48145466, 0.4578275, 0.40821073])) / [0.26862954, 0.26130258, 0.27577711]
    assert np.allclose(ready[0, :, 5, 5], expected, atol=1e-5)
